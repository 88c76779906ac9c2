"""Generates images. An image is a function of weights, text and seed: never of the batch it was generated in."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from src.core.errors import ConfigError, NonFiniteError
from src.core.seeding import derive_seed
from src.models.base import BaseModel, Sampling, StartImage
from src.models.pixels import as_image, to_bytes
from src.sampling.prompts import Prompt
from src.sampling.samplers import build_sampler, check_name


@dataclass(frozen=True)
class SamplingSettings:
    """How images are generated.

    Attributes:
        resolution: Height and width, pixels.
        num_images_per_prompt: Seeds 0 .. n-1 for every prompt.
        num_inference_steps: Sampler steps.
        guidance_scale: Classifier-free guidance (Ho & Salimans, 2022, arXiv:2207.12598); 1 is off.
        negative_prompt: What guidance leads away from.
        batch_size: Images at once.
        seed: The run's seed.
        sampler: A scheduler class of diffusers.
        sampler_options: Its options beside the model's own noise schedule.
        dtype: What the base model is kept in.
        height: Pixels; None for `resolution`.
        width: Pixels; None for `resolution`.
        start: A picture to begin with; None for noise alone.
    """

    resolution: int
    num_images_per_prompt: int
    num_inference_steps: int
    guidance_scale: float
    negative_prompt: str
    batch_size: int
    seed: int
    sampler: str
    sampler_options: dict[str, Any]
    dtype: str
    height: int | None = None
    width: int | None = None
    start: StartImage | None = None

    def named(self) -> dict[str, Any]:
        """Returns what decides an image; what is off is left out, so that it changes no name."""
        parts = {**vars(self), "start": self.start and {"sha256": self.start.sha256, "strength": self.start.strength}}
        del parts["num_images_per_prompt"]
        return {name: value for name, value in parts.items() if value is not None}

    def check(self, section: str) -> None:
        """Refuses values that cannot work.

        Args:
            section: The key under which they are set.

        Raises:
            ConfigError: A value is out of range, or the sampler or an option of it is unknown.
        """
        for name in ("num_images_per_prompt", "num_inference_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{section}.{name}={getattr(self, name)}: expected 1 or more")
        if not 0 <= self.guidance_scale < math.inf:
            raise ConfigError(f"{section}.guidance_scale={self.guidance_scale}: expected a number from 0 up")
        if self.start is not None and int(self.num_inference_steps * self.start.strength) < 1:
            raise ConfigError(f"strength={self.start.strength}: none of {self.num_inference_steps} steps is left")
        check_name(self.sampler, self.sampler_options)


@dataclass(frozen=True)
class Job:
    """One image to generate.

    Attributes:
        prompt: Whose id, with the seed, decides the noise: base and run start from the same.
        text: What the text encoder reads.
        seed: Number of the image within the prompt.
        noise_seed: Of the noise, as `torch.manual_seed` takes it; None for that of prompt, number and run.
    """

    prompt: Prompt
    text: str
    seed: int
    noise_seed: int | None = None

    def drawn_from(self, seed: int) -> int:
        """Returns the seed of its noise in a run with this one."""
        if self.noise_seed is not None:
            return self.noise_seed
        return derive_seed(seed, "sample", self.prompt.id, self.seed)


def sample(model: BaseModel, settings: SamplingSettings, jobs: list[Job]) -> Iterator[tuple[Job, Image.Image]]:
    """Generates jobs in batches across prompts.

    Every batch has the full size, the last is filled up with repeats: kernels choose their order of summation by
    shape, so another batch size would change the last bits.

    Args:
        model: The base, with or without an adapter.
        settings: How.
        jobs: What.

    Yields:
        Each job with its image, RGB uint8, in order.
    """
    sampling = Sampling(
        scheduler=build_sampler(settings.sampler, settings.sampler_options, model.pipeline.scheduler.config),
        height=settings.height or settings.resolution,
        width=settings.width or settings.resolution,
        steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        negative_prompt=settings.negative_prompt,
        start=settings.start,
    )
    for first in range(0, len(jobs), settings.batch_size):
        group = jobs[first : first + settings.batch_size]
        filled = [*group, *[group[0]] * (settings.batch_size - len(group))]
        generators = [torch.Generator("cpu").manual_seed(job.drawn_from(settings.seed)) for job in filled]
        latents = model.sample([job.text for job in filled], sampling, generators)
        # one by one: decoding is what takes the memory, and a batch of it gains little
        for job, latent in zip(group, latents, strict=False):
            yield job, to_image(model.decode(latent[None]))


def to_image(pixels: Tensor) -> Image.Image:
    """Turns a decoded image into RGB uint8.

    Args:
        pixels: (1, 3, H, W), float, about [-1, 1].

    Returns:
        The image.

    Raises:
        NonFiniteError: A pixel is NaN or infinite, which would come out black.
    """
    if not bool(torch.isfinite(pixels).all()):
        raise NonFiniteError("a generated image holds NaN or infinite pixels: try validation_args.dtype=fp32")
    return as_image(to_bytes(pixels[0]))
