"""Images to latent posteriors, encoded once and kept under a name made of their content."""

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from src.core.errors import BadPhotoError
from src.core.files import sha256_bytes
from src.core.sealed import read_sealed, write_sealed
from src.models.base import BaseModel
from src.models.pixels import to_pixels
from src.models.tensors import pack_tensors, unpack_tensors


@dataclass(frozen=True)
class Posterior:
    """Latent posteriors of images.

    Attributes:
        mean: (V, N, C, h, w), float32, scaled as the denoiser expects; V is 2 with mirror images, else 1.
        std: Like `mean`.
    """

    mean: Tensor
    std: Tensor


def encode_images(model: BaseModel, paths: list[Path], flip: bool, cache: Path, vae_digest: str) -> Posterior:
    """Encodes images, or takes them from the cache.

    A cached latent is keyed by the pixels and by the VAE's weights, so an edited photo or another model never
    meets a stale one.

    Args:
        model: The base model.
        paths: N images of one size.
        flip: Whether to add the mirror images.
        cache: A folder for the latents.
        vae_digest: Names the VAE's weights and the code that runs them.

    Returns:
        The posteriors, in the order of `paths`.
    """
    views = []
    for mirrored in (False, True) if flip else (False,):
        rows = [_encode(model, path, mirrored, cache, vae_digest) for path in paths]
        views.append([torch.stack(column) for column in zip(*rows, strict=True)])
    means, stds = zip(*views, strict=True)
    return Posterior(torch.stack(means), torch.stack(stds))


def _encode(model: BaseModel, path: Path, mirrored: bool, cache: Path, vae_digest: str) -> tuple[Tensor, Tensor]:
    try:
        with Image.open(path) as image:
            pixels = to_pixels(image)
    except (OSError, SyntaxError) as error:
        raise BadPhotoError(f"{path}: cannot be read ({error}); run `dvc repro`") from error
    if mirrored:
        pixels = pixels.flip(-1)
    where = f"{model.device.type}\0{vae_digest}\0{tuple(pixels.shape)}\0".encode()
    file = cache / f"{sha256_bytes(where + pixels.numpy().tobytes())}.safetensors"
    data = read_sealed(file)
    if data is None:
        mean, std = model.encode_image(pixels)
        data = pack_tensors({"mean": mean[0], "std": std[0]}, {})
        write_sealed(file, data)
    tensors, _ = unpack_tensors(data)
    return tensors["mean"], tensors["std"]
