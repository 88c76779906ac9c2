"""What families of base models share because each is a pipeline of diffusers with an AutoencoderKL."""

import json
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import transformers
from diffusers import AutoencoderKL, AutoPipelineForImage2Image, DiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from torch import Tensor

from src.core.errors import CaptionError, ModelMismatchError
from src.models.base import Sampling

# Their progress bars and hints would bury what a stage has to say; what matters is checked and raised.
diffusers_logging.set_verbosity_error()
diffusers_logging.disable_progress_bar()
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def load_pipeline(
    folder: Path, variant: str | None, dtype: torch.dtype, device: torch.device, **options: Any
) -> DiffusionPipeline:
    """Loads a pipeline, frozen and in eval mode, with its VAE in float32 (SDXL's overflows in fp16).

    Args:
        folder: A diffusers model folder.
        variant: Which weight files, for example ``fp16``; None for the plain ones.
        dtype: Of everything but the VAE.
        device: Where to.
        **options: Components that are left out, and the like.

    Returns:
        The pipeline.

    Raises:
        ModelMismatchError: The files are damaged, or not what they say.
    """
    try:
        pipeline = DiffusionPipeline.from_pretrained(
            folder,
            dtype={"default": dtype, "vae": torch.float32},
            variant=variant,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            **options,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelMismatchError(f"{folder}: cannot be loaded: {str(error).splitlines()[0].split('. ')[0]}") from error
    return prepare(pipeline, device)


def prepare(pipeline: DiffusionPipeline, device: torch.device) -> DiffusionPipeline:
    """Freezes a pipeline, in eval mode and on a device."""
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(device)
    for component in pipeline.components.values():
        if isinstance(component, torch.nn.Module):
            component.eval().requires_grad_(False)
    return pipeline


@torch.no_grad()
def encode_image(vae: AutoencoderKL, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Encodes images; see BaseModel."""
    posterior = vae.encode(pixels.to(vae.device, torch.float32)).latent_dist
    scale, shift = vae.config.scaling_factor, vae.config.shift_factor or 0.0
    return (posterior.mean.float() - shift) * scale, posterior.std.float() * scale


@torch.no_grad()
def decode(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Decodes latents; see BaseModel."""
    pixels: Tensor = vae.decode(latents.float() / vae.config.scaling_factor + (vae.config.shift_factor or 0.0)).sample
    return pixels


def sample(
    pipeline: DiffusionPipeline, texts: list[str], sampling: Sampling, generators: list[torch.Generator]
) -> Tensor:
    """Samples latents; see BaseModel."""
    own_scheduler = pipeline.scheduler
    pipeline.scheduler = sampling.scheduler
    size: dict[str, Any] = {"height": sampling.height, "width": sampling.width}
    try:
        if sampling.start is None:
            run, options = pipeline, size
        else:
            run, known = _from_image(pipeline), {"image": [sampling.start.image] * len(texts)}
            # some take the picture's own size, which is the same
            sides = {key: side for key, side in size.items() if key in signature(run.__call__).parameters}
            options = {**known, **sides, "strength": sampling.start.strength}
        latents: Tensor = run(
            texts,
            # nothing is None: SDXL reads zeros there, not the embedding of an empty text
            negative_prompt=[sampling.negative_prompt] * len(texts) if sampling.negative_prompt else None,
            **options,
            num_inference_steps=sampling.steps,
            guidance_scale=sampling.guidance_scale,
            generator=generators,
            output_type="latent",
        ).images
    finally:
        pipeline.scheduler = own_scheduler
    return latents


class _MeanEncoder(torch.nn.Module):
    """An autoencoder as the pipelines of diffusers that begin with a picture use it, without what it leaves to chance.

    It stays float32 and gives the mean of its posterior, whatever the pipeline's precision.

    Args:
        vae: The autoencoder.
    """

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self._encode, self.config = vae.encode, vae.config
        self.dtype, self.device = vae.dtype, vae.device

    def encode(self, pixels: Tensor) -> Any:
        """Returns what `retrieve_latents` of diffusers takes: an object with `latents`, (B, C, h, w), unscaled."""
        mean = self._encode(pixels.to(self.dtype)).latent_dist.mean
        return SimpleNamespace(latents=mean.to(pixels.dtype))


def _from_image(pipeline: DiffusionPipeline) -> Any:
    """Returns a pipeline of the same parts that begins with a picture."""
    run = AutoPipelineForImage2Image.from_pipe(pipeline)
    run.vae = _MeanEncoder(pipeline.vae)
    run.set_progress_bar_config(disable=True)
    return run


def check_captions(pipeline: DiffusionPipeline, captions: Sequence[str]) -> None:
    """Refuses captions that are too long for a tokenizer; see BaseModel.check_captions."""
    # writes out words of several vectors, where a pipeline does so before it counts
    written = getattr(pipeline, "maybe_convert_prompt", lambda caption, _: caption)
    for name, tokenizer in tokenizers(pipeline).items():
        limit = tokenizer.model_max_length
        for caption in captions:
            length = len(tokenizer(written(caption, tokenizer), truncation=False)["input_ids"])
            if length > limit:
                raise CaptionError(f"{length} tokens for the {name}, which takes {limit}: {caption!r}")


def tokenizers(pipeline: DiffusionPipeline) -> dict[str, Any]:
    """Returns the tokenizers that a pipeline has, by component name."""
    parts = sorted(pipeline.components.items())
    return {name: part for name, part in parts if name.startswith("tokenizer") and part is not None}


def levels_factor(config: Path) -> int:
    """Returns by how much an AutoencoderKL or UNet2DConditionModel divides sides: each level but the last halves them.

    Args:
        config: Its config.json.

    Returns:
        A power of two.

    Raises:
        ModelMismatchError: The file is missing, or says no levels.
    """
    return int(2 ** (len(read_setting(config, "block_out_channels", list)) - 1))


def read_setting(config: Path, key: str, kind: type) -> Any:
    """Reads one setting of a part of a model.

    Args:
        config: A config.json.
        key: Which.
        kind: Of which type.

    Returns:
        The value.

    Raises:
        ModelMismatchError: The file is missing or is no JSON, or has no such setting.
    """
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (ValueError, FileNotFoundError) as error:
        raise ModelMismatchError(f"{config}: expected JSON with {key}") from error
    value = content.get(key) if isinstance(content, dict) else None
    if not isinstance(value, kind):
        raise ModelMismatchError(f"{config}: expected JSON with {key}")
    return value
