"""Stable Diffusion 1.x and 2.x (Rombach et al., 2022, arXiv:2112.10752).

Widths, heads and what is predicted are read from the model's own files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from src.models import pipelines
from src.models.base import Conditioning, Sampling
from src.noise.diffusion import DiscreteDiffusion


@dataclass(frozen=True)
class StableDiffusion:
    """A UNet and one text encoder; see BaseModel."""

    pipeline: DiffusionPipeline
    process: DiscreteDiffusion
    device: torch.device
    dtype: torch.dtype
    denoiser_name: str = "unet"
    adaptable_encoders: tuple[str, ...] = ("text_encoder",)

    @staticmethod
    def load(folder: Path, variant: str | None, dtype: torch.dtype, device: torch.device) -> "StableDiffusion":
        """Loads one; arguments and errors as of pipelines.load_pipeline."""
        # the safety checker is neither fetched nor loaded
        without = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        pipeline = pipelines.load_pipeline(folder, variant, dtype, device, **without)
        return StableDiffusion.of(pipeline, device)

    @staticmethod
    def of(pipeline: DiffusionPipeline, device: torch.device) -> "StableDiffusion":
        """Takes a pipeline that is there already, on `device`."""
        # a fifth faster on processors with AVX2; docs/performance.md
        pipeline.unet.to(memory_format=torch.channels_last)
        process = DiscreteDiffusion.of(pipeline.scheduler.config, device)
        return StableDiffusion(pipeline, process, device, pipeline.unet.dtype)

    @property
    def full_noise(self) -> float:
        """Returns the number of steps; see BaseModel."""
        return len(self.process.alphas_cumprod)

    @staticmethod
    def divisors(folder: Path) -> dict[str, int]:
        """Reads by how much autoencoder and UNet divide; see BaseModel."""
        parts = {"autoencoder": folder / "vae/config.json", "UNet": folder / "unet/config.json"}
        return {name: pipelines.levels_factor(config) for name, config in parts.items()}

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
        return Conditioning(self.pipeline.encode_prompt(captions, **options)[0], None)

    def predict(self, x_t: Tensor, time: Tensor, text: Conditioning, size_px: Tensor) -> Tensor:  # noqa: ARG002
        """Predicts noise or velocity; see BaseModel."""
        prediction: Tensor = self.pipeline.unet(
            x_t.to(self.dtype), time, text.embeds.to(self.dtype), return_dict=False
        )[0]
        return prediction

    def sample(self, texts: list[str], sampling: Sampling, generators: list[torch.Generator]) -> Tensor:
        """Samples latents; see BaseModel."""
        return pipelines.sample(self.pipeline, texts, sampling, generators)

    def unread_layers(self, encoder: str) -> str | None:  # noqa: ARG002
        """Finds none: the last layer is read; see BaseModel."""
        return None
