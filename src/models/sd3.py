"""Stable Diffusion 3 and 3.5 (Esser et al., 2024, arXiv:2403.03206)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from src.models import pipelines
from src.models.base import Conditioning, Sampling
from src.noise.flow import RectifiedFlow

# the transformer's clock: 1000 is pure noise
TIME_SCALE = 1000


@dataclass(frozen=True)
class StableDiffusion3:
    """An MMDiT, two CLIP text encoders and, where it is there, a T5, which stays as it is; see BaseModel."""

    pipeline: DiffusionPipeline
    process: RectifiedFlow
    device: torch.device
    dtype: torch.dtype
    denoiser_name: str = "transformer"
    adaptable_encoders: tuple[str, ...] = ("text_encoder", "text_encoder_2")
    full_noise: float = TIME_SCALE

    @staticmethod
    def load(folder: Path, variant: str | None, dtype: torch.dtype, device: torch.device) -> "StableDiffusion3":
        """Loads one; arguments and errors as of pipelines.load_pipeline."""
        # T5 is most of what there is to download, and the model works without it
        third = ("text_encoder_3", "tokenizer_3")
        without = {} if (folder / third[0]).is_dir() else dict.fromkeys(third)
        return StableDiffusion3.of(pipelines.load_pipeline(folder, variant, dtype, device, **without), device)

    @staticmethod
    def of(pipeline: DiffusionPipeline, device: torch.device) -> "StableDiffusion3":
        """Takes a pipeline that is there already, on `device`."""
        process = RectifiedFlow.of(pipeline.scheduler.config, uniform=False)
        return StableDiffusion3(pipeline, process, device, pipeline.transformer.dtype)

    @staticmethod
    def divisors(folder: Path) -> dict[str, int]:
        """Reads by how much autoencoder and transformer divide; see BaseModel."""
        patch = pipelines.read_setting(folder / "transformer/config.json", "patch_size", int)
        return {"autoencoder": pipelines.levels_factor(folder / "vae/config.json"), "transformer": patch}

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
        embeds, _, pooled, _ = self.pipeline.encode_prompt(captions, captions, captions, **options)
        return Conditioning(embeds, pooled)

    def predict(self, x_t: Tensor, time: Tensor, text: Conditioning, size_px: Tensor) -> Tensor:  # noqa: ARG002
        """Predicts noise - x_0; see BaseModel."""
        assert text.pooled is not None, "encode_text pools"
        prediction: Tensor = self.pipeline.transformer(
            hidden_states=x_t.to(self.dtype),
            timestep=time * TIME_SCALE,
            encoder_hidden_states=text.embeds.to(self.dtype),
            pooled_projections=text.pooled.to(self.dtype),
            return_dict=False,
        )[0]
        return prediction

    def sample(self, texts: list[str], sampling: Sampling, generators: list[torch.Generator]) -> Tensor:
        """Samples latents; see BaseModel."""
        return pipelines.sample(self.pipeline, texts, sampling, generators)

    def unread_layers(self, encoder: str) -> str | None:  # noqa: ARG002
        """Finds none: the last layers are read for the pooled features; see BaseModel."""
        return None
