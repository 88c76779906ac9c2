"""Photos as the base model's autoencoder gives them back: what the best possible generating of them would look like."""

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from PIL import Image

from src.core.errors import MissingModelError, NonFiniteError
from src.core.single_file import is_single_file
from src.core.weights import find_model, model_patterns
from src.models.pixels import as_image, to_bytes, to_pixels
from src.models.single_file import load_vae


@torch.no_grad()
def reconstruct(
    model_id: str,
    revision: str | None,
    variant: str | None,
    config: str | None,
    device: str,
    photos: Sequence[Path],
    out: Path,
) -> list[Path]:
    """Encodes photos to the mean of their latents and decodes those, in float32: nothing is random.

    Args:
        model_id: Folder, hub id or single file of the base model.
        revision: The pinned commit; None for a folder.
        variant: Of the weight files, or None.
        config: Folder or hub id of what a single-file checkpoint lacks.
        device: Where to.
        photos: RGB images with sides that are multiples of the autoencoder's factor.
        out: An existing folder for the PNGs, which are named after the photos.

    Returns:
        A file per photo, in their order.

    Raises:
        MissingModelError: There is no autoencoder.
        NonFiniteError: A pixel is NaN or infinite.
    """
    folder = find_model(model_id, revision, model_patterns(variant), config)
    if not (folder / "vae/config.json").is_file():
        raise MissingModelError(
            f"{folder / 'vae'}: no autoencoder there, so photos cannot be shown as the model could generate them"
        )
    if is_single_file(model_id):
        vae = load_vae(Path(model_id), folder)
    else:
        options = {"variant": variant, "local_files_only": True, "use_safetensors": True}
        vae = AutoencoderKL.from_pretrained(folder / "vae", **options)
    vae = vae.to(device, torch.float32).eval()
    files = []
    for path in photos:
        with Image.open(path) as image:
            pixels = to_pixels(image)
        restored = vae.decode(vae.encode(pixels.to(device)).latent_dist.mean).sample[0]
        if not bool(restored.isfinite().all()):
            raise NonFiniteError(f"{path}: the autoencoder makes NaN or infinite pixels of it")
        files.append(out / path.name)
        as_image(to_bytes(restored)).save(files[-1])
    return files
