"""What a base model is to the rest of the pipeline, whatever its family.

Symbols: B batch, C latent channels, H W pixels, h w latent cells, L text tokens, D text features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from diffusers import DiffusionPipeline
from PIL import Image
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from src.noise.process import NoiseProcess

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# what a frozen denoiser can be kept in beside these: src/models/quantized.py
QUANTIZED = ("int8", "nf4")


@dataclass(frozen=True)
class Conditioning:
    """Encoded captions, as a denoiser is given them; only the model itself looks inside.

    Attributes:
        embeds: Text features, (B, L, D).
        pooled: Pooled text features, (B, P); None where the family has none.
    """

    embeds: Tensor
    pooled: Tensor | None

    @staticmethod
    def cat(parts: "Sequence[Conditioning]") -> "Conditioning":
        """Returns the rows of several, one after the other."""
        pooled = [part.pooled for part in parts if part.pooled is not None]
        return Conditioning(torch.cat([part.embeds for part in parts]), torch.cat(pooled) if pooled else None)

    def select(self, rows: Tensor) -> "Conditioning":
        """Returns the conditioning of some rows; `rows` are integer indices, (b,)."""
        return Conditioning(self.embeds[rows], None if self.pooled is None else self.pooled[rows])


@dataclass(frozen=True)
class StartImage:
    """A picture to begin with instead of noise (SDEdit, Meng et al., 2022, arXiv:2108.01073).

    Attributes:
        image: RGB, of the size that is sampled.
        sha256: Of its pixels and size.
        strength: The share of the sampler's steps that are taken, in (0, 1].
    """

    image: Image.Image
    sha256: str
    strength: float


@dataclass(frozen=True)
class Sampling:
    """How one batch of images is sampled.

    Attributes:
        scheduler: The sampler, a scheduler of diffusers.
        height: Pixels.
        width: Pixels.
        steps: Sampler steps.
        guidance_scale: Classifier-free guidance (Ho & Salimans, 2022, arXiv:2207.12598), 1 is off; a number that FLUX
            reads.
        negative_prompt: What guidance leads away from; empty for nothing.
        start: A picture that the images begin with; None for noise alone.
    """

    scheduler: Any
    height: int
    width: int
    steps: int
    guidance_scale: float
    negative_prompt: str
    start: StartImage | None = None


class BaseModel(Protocol):
    """A loaded base model, frozen and in eval mode."""

    @property
    def pipeline(self) -> DiffusionPipeline:
        """The diffusers pipeline; its VAE is float32 whatever the rest is."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it lives."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """What all but the VAE is kept in."""
        ...

    @property
    def denoiser_name(self) -> str:
        """What diffusers and adapter files call the denoiser: ``unet`` or ``transformer``."""
        ...

    @property
    def adaptable_encoders(self) -> tuple[str, ...]:
        """The text encoders that an adapter may train, by component name."""
        ...

    @property
    def full_noise(self) -> float:
        """What the denoiser is told as `timestep` where there is nothing but noise."""
        ...

    @property
    def process(self) -> NoiseProcess:
        """The noise that it was trained with."""
        ...

    @staticmethod
    def divisors(folder: Path) -> dict[str, int]:
        """Reads from a model's files, before it is loaded, by how much each part divides the sides of an image.

        Args:
            folder: A diffusers model folder.

        Returns:
            Factors by what a person calls the part; a side must be a multiple of their product.

        Raises:
            ModelMismatchError: A config.json is missing or is none.
        """
        ...

    @staticmethod
    def check_guidance(folder: Path, scale: float, negative_prompt: str) -> None:
        """Refuses guidance that this model would not look at, before it is loaded.

        Args:
            folder: A diffusers model folder.
            scale: As of Sampling.
            negative_prompt: As of Sampling.

        Raises:
            ConfigError: It is guided another way.
            ModelMismatchError: A config.json is missing or is none.
        """
        ...

    @staticmethod
    def set_steps(sampler: Any, steps: int) -> None:
        """Sets a sampler's steps as the pipeline does.

        Args:
            sampler: A scheduler of diffusers.
            steps: How many.

        Raises:
            ValueError: It cannot be told the pipeline's steps.
        """
        ...

    def encode_image(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes images to the latent posterior, scaled as the denoiser expects.

        Args:
            pixels: (B, 3, H, W), float32 in [-1, 1].

        Returns:
            Mean and standard deviation, each (B, C, h, w), float32.
        """
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Decodes scaled latents in float32.

        Args:
            latents: (B, C, h, w).

        Returns:
            Pixels, (B, 3, H, W), float32, about [-1, 1].
        """
        ...

    def check_captions(self, captions: Sequence[str]) -> None:
        """Refuses captions that a text encoder would cut off.

        Args:
            captions: The texts.

        Raises:
            CaptionError: A caption is longer than a tokenizer's limit; the message holds it.
        """
        ...

    def encode_text(self, captions: list[str]) -> Conditioning:
        """Encodes captions as at inference; gradients flow if they are enabled.

        Args:
            captions: B texts within the tokenizers' limits.

        Returns:
            The conditioning of B rows.
        """
        ...

    def predict(self, x_t: Tensor, time: Tensor, text: Conditioning, size_px: Tensor) -> Tensor:
        """Predicts what `process` calls the target.

        Args:
            x_t: Noisy latents, (B, C, h, w).
            time: (B,), as `process` counts it.
            text: Of B rows.
            size_px: Height and width of the photo before it was resized, (B, 2), float32.

        Returns:
            The prediction, (B, C, h, w).
        """
        ...

    def sample(self, texts: list[str], sampling: Sampling, generators: list[torch.Generator]) -> Tensor:
        """Samples latents.

        Args:
            texts: B prompts.
            sampling: How.
            generators: Of the noise, one for each image.

        Returns:
            Scaled latents, (B, C, h, w).
        """
        ...

    def unread_layers(self, encoder: str) -> str | None:
        """Returns a pattern of the layers of a text encoder whose output nothing reads; None if there are none."""
        ...


def denoiser(model: BaseModel) -> Any:
    """Returns the network that predicts, a model of diffusers."""
    return getattr(model.pipeline, model.denoiser_name)


def text_encoders(model: BaseModel) -> dict[str, Any]:
    """Returns the text encoders that an adapter may train, by component name."""
    return {name: getattr(model.pipeline, name) for name in model.adaptable_encoders}


def adaptable(model: BaseModel) -> dict[str, Any]:
    """Returns all that an adapter may train, by component name, the denoiser first."""
    return {model.denoiser_name: denoiser(model), **text_encoders(model)}


class Denoiser(torch.nn.Module):
    """The trained part of a model as one module, so that one distributed wrapper serves it.

    Args:
        model: The base model, with its adapters attached.
        train_text_encoder: Whether captions are encoded in every step, with gradients.
        gradient_checkpointing: Recompute activations in the backward pass.
    """

    def __init__(self, model: BaseModel, train_text_encoder: bool, gradient_checkpointing: bool) -> None:
        super().__init__()
        self.denoiser: Any = denoiser(model)
        self.encoders = torch.nn.ModuleDict(text_encoders(model) if train_text_encoder else {})
        self._model = model
        self._recompute_text = gradient_checkpointing
        if gradient_checkpointing:
            self.denoiser.enable_gradient_checkpointing()

    def forward(self, x_t: Tensor, time: Tensor, text: Conditioning | list[str], size_px: Tensor) -> Tensor:
        """Predicts; arguments as of `BaseModel.predict`, and captions where the text encoders are trained."""
        if isinstance(text, list):
            encode = self._model.encode_text
            text = checkpoint(encode, text, use_reentrant=False) if self._recompute_text else encode(text)
        return self._model.predict(x_t, time, text, size_px)
