"""Stable Diffusion XL (Podell et al., 2023, arXiv:2307.01952)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from src.models import pipelines
from src.models.base import Conditioning, Sampling
from src.models.sd import StableDiffusion
from src.noise.diffusion import DiscreteDiffusion


@dataclass(frozen=True)
class StableDiffusionXL:
    """A UNet that is told the photo's size, and two text encoders; see BaseModel."""

    pipeline: DiffusionPipeline
    process: DiscreteDiffusion
    device: torch.device
    dtype: torch.dtype
    denoiser_name: str = "unet"
    adaptable_encoders: tuple[str, ...] = ("text_encoder", "text_encoder_2")

    @staticmethod
    def load(folder: Path, variant: str | None, dtype: torch.dtype, device: torch.device) -> "StableDiffusionXL":
        """Loads one; arguments and errors as of pipelines.load_pipeline."""
        return StableDiffusionXL.of(pipelines.load_pipeline(folder, variant, dtype, device), device)

    @staticmethod
    def of(pipeline: DiffusionPipeline, device: torch.device) -> "StableDiffusionXL":
        """Takes a pipeline that is there already, on `device`."""
        # a fifth faster on processors with AVX2; docs/performance.md
        pipeline.unet.to(memory_format=torch.channels_last)
        process = DiscreteDiffusion.of(pipeline.scheduler.config, device)
        return StableDiffusionXL(pipeline, process, device, pipeline.unet.dtype)

    @property
    def full_noise(self) -> float:
        """Returns the number of steps; see BaseModel."""
        return len(self.process.alphas_cumprod)

    @staticmethod
    def divisors(folder: Path) -> dict[str, int]:
        """Reads by how much autoencoder and UNet divide; see BaseModel."""
        return StableDiffusion.divisors(folder)

    @staticmethod
    def check_guidance(folder: Path, scale: float, negative_prompt: str) -> None:
        """Refuses nothing: guidance is classifier-free; see BaseModel."""

    @staticmethod
    def set_steps(sampler: Any, steps: int) -> None:
        """Sets a sampler's steps; see BaseModel."""
        sampler.set_timesteps(steps)

    def encode_image(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes images; see BaseModel."""
        return pipelines.encode_image(self.pipeline.vae, pixels)

    def decode(self, latents: Tensor) -> Tensor:
        """Decodes latents; see BaseModel."""
        return pipelines.decode(self.pipeline.vae, latents)

    def check_captions(self, captions: Sequence[str]) -> None:
        """Refuses long captions; see BaseModel."""
        pipelines.check_captions(self.pipeline, captions)

    def encode_text(self, captions: list[str]) -> Conditioning:
        """Encodes captions; see BaseModel."""
        options = {"device": self.device, "num_images_per_prompt": 1, "do_classifier_free_guidance": False}
        embeds, _, pooled, _ = self.pipeline.encode_prompt(captions, **options)
        return Conditioning(embeds, pooled)

    def predict(self, x_t: Tensor, time: Tensor, text: Conditioning, size_px: Tensor) -> Tensor:
        """Predicts noise; see BaseModel."""
        assert text.pooled is not None, "encode_text pools"
        known = {
            "text_embeds": text.pooled.to(self.dtype),
            "time_ids": time_ids(size_px, x_t.shape[-2:], int(self.pipeline.vae_scale_factor)),
        }
        prediction: Tensor = self.pipeline.unet(
            x_t.to(self.dtype), time, text.embeds.to(self.dtype), return_dict=False, added_cond_kwargs=known
        )[0]
        return prediction

    def sample(self, texts: list[str], sampling: Sampling, generators: list[torch.Generator]) -> Tensor:
        """Samples latents; see BaseModel."""
        return pipelines.sample(self.pipeline, texts, sampling, generators)

    def unread_layers(self, encoder: str) -> str | None:
        """Names the first encoder's last layer: the UNet reads the layer before it; see BaseModel."""
        if encoder != "text_encoder":
            return None
        return rf".*\.layers\.{self.pipeline.text_encoder.config.num_hidden_layers - 1}\..*"


def time_ids(size_px: Tensor, cells: tuple[int, int] | torch.Size, scale_factor: int) -> Tensor:
    """Builds SDXL's size conditioning: original size, crop corner, target size (section 2.2).

    Kept in float32: bfloat16 would round 1080 px to 1080 but 3021 px to 3024. A crop that was enlarged says so
    through its original size, so that the model does not learn the blur as part of the subject.

    Args:
        size_px: Height and width before resizing, (B, 2), float32.
        cells: Latent height and width.
        scale_factor: Pixels per latent cell.

    Returns:
        (B, 6), float32.
    """
    corner = torch.zeros_like(size_px)
    target = torch.tensor([side * scale_factor for side in cells], dtype=size_px.dtype, device=size_px.device)
    return torch.cat([size_px, corner, target.expand_as(size_px)], dim=1)
