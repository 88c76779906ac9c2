"""FLUX.1 (Black Forest Labs, 2024; the transformer follows Esser et al., 2024, arXiv:2403.03206), dev and schnell.

Latents are packed as diffusers packs them: 2 x 2 cells of 16 channels are one of the transformer's 64-wide tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.pipelines.flux.pipeline_flux import retrieve_timesteps
from torch import Tensor

from src.core.errors import ConfigError
from src.models import pipelines
from src.models.base import Conditioning, Sampling
from src.noise.flow import RectifiedFlow

# sides of the blocks of latent cells that are one token
PACKED = 2
# What a guidance-distilled transformer is told while it learns; for images it is told the sampler's guidance. As the
# commands of diffusers' examples/dreambooth/README_flux.md have it.
TRAINING_GUIDANCE = 1.0


@dataclass(frozen=True)
class Flux:
    """Double and single stream blocks, a CLIP whose pooled features steer them, and a T5, which stays as it is."""

    pipeline: DiffusionPipeline
    process: RectifiedFlow
    device: torch.device
    dtype: torch.dtype
    denoiser_name: str = "transformer"
    # diffusers loads no adapter of T5
    adaptable_encoders: tuple[str, ...] = ("text_encoder",)
    full_noise: float = 1.0

    @staticmethod
    def load(folder: Path, variant: str | None, dtype: torch.dtype, device: torch.device) -> "Flux":
        """Loads one; arguments and errors as of pipelines.load_pipeline."""
        return Flux.of(pipelines.load_pipeline(folder, variant, dtype, device), device)

    @staticmethod
    def of(pipeline: DiffusionPipeline, device: torch.device) -> "Flux":
        """Takes a pipeline that is there already, on `device`."""
        # times as of diffusers' examples/dreambooth/train_dreambooth_lora_flux.py
        process = RectifiedFlow.of(pipeline.scheduler.config, uniform=True)
        return Flux(pipeline, process, device, pipeline.transformer.dtype)

    @staticmethod
    def divisors(folder: Path) -> dict[str, int]:
        """Reads by how much the autoencoder divides, and says it of the transformer; see BaseModel."""
        return {"autoencoder": pipelines.levels_factor(folder / "vae/config.json"), "transformer": PACKED}

    @staticmethod
    def check_guidance(folder: Path, scale: float, negative_prompt: str) -> None:
        """Refuses what the pipeline would not look at; see BaseModel."""
        if negative_prompt:
            raise ConfigError(
                f"negative_prompt={negative_prompt!r}: {folder} is guided by a number that it reads, "
                "not away from a text; expected an empty one"
            )
        embeds = pipelines.read_setting(folder / "transformer/config.json", "guidance_embeds", bool)
        if not embeds and scale != 1:
            raise ConfigError(f"guidance_scale={scale}: {folder} reads no guidance; expected 1")

    @staticmethod
    def set_steps(sampler: Any, steps: int) -> None:
        """Sets a sampler's steps; see BaseModel."""
        # any shift: it depends on the resolution and changes no answer
        retrieve_timesteps(sampler, steps, sigmas=np.linspace(1.0, 1 / steps, steps), mu=1.0)

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
        embeds, pooled, _ = self.pipeline.encode_prompt(captions, captions, device=self.device)
        return Conditioning(embeds, pooled)

    def predict(self, x_t: Tensor, time: Tensor, text: Conditioning, size_px: Tensor) -> Tensor:  # noqa: ARG002
        """Predicts noise - x_0; see BaseModel."""
        assert text.pooled is not None, "encode_text pools"
        network, (count, channels, height, width) = self.pipeline.transformer, x_t.shape
        packed = self.pipeline._pack_latents(x_t.to(self.dtype).contiguous(), count, channels, height, width)
        known = {
            "img_ids": self.pipeline._prepare_latent_image_ids(
                count, height // PACKED, width // PACKED, x_t.device, self.dtype
            ),
            "txt_ids": torch.zeros(text.embeds.shape[1], 3, device=x_t.device, dtype=self.dtype),
        }
        if network.config.guidance_embeds:
            known["guidance"] = torch.full((count,), TRAINING_GUIDANCE, device=x_t.device)
        prediction = network(
            hidden_states=packed,
            timestep=time,
            encoder_hidden_states=text.embeds.to(self.dtype),
            pooled_projections=text.pooled.to(self.dtype),
            return_dict=False,
            **known,
        )[0]
        return self._unpack(prediction, height, width)

    def sample(self, texts: list[str], sampling: Sampling, generators: list[torch.Generator]) -> Tensor:
        """Samples latents; see BaseModel."""
        packed = pipelines.sample(self.pipeline, texts, sampling, generators)
        factor = self.pipeline.vae_scale_factor
        return self._unpack(packed, sampling.height // factor, sampling.width // factor)

    def unread_layers(self, encoder: str) -> str | None:  # noqa: ARG002
        """Finds none: the last layers are read for the pooled features; see BaseModel."""
        return None

    def _unpack(self, packed: Tensor, height: int, width: int) -> Tensor:
        """Turns tokens, (B, height * width / 4, 4 C), into latents, (B, C, height, width)."""
        factor = self.pipeline.vae_scale_factor
        latents: Tensor = self.pipeline._unpack_latents(packed, height * factor, width * factor, factor)
        return latents
