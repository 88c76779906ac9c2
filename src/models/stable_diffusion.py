"""Stable Diffusion 1.x, 2.x and XL behind one interface; the architecture is read from the model's own files.

Symbols: B batch, C latent channels, H W pixels, h w latent cells, L text tokens, D text features.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from diffusers import DDPMScheduler, DiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from src.core.errors import CaptionError, ModelMismatchError
from src.core.weights import find_model, model_patterns

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Their progress bars and hints would bury what a stage has to say; what matters is checked and raised.
diffusers_logging.set_verbosity_error()
diffusers_logging.disable_progress_bar()
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
SUPPORTED = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")


@dataclass(frozen=True)
class Conditioning:
    """What the UNet is told beside the noisy latents.

    Attributes:
        embeds: Text features, (B, L, D).
        pooled: Pooled text features of SDXL, (B, P); None for SD1.x and SD2.x.
    """

    embeds: Tensor
    pooled: Tensor | None

    def select(self, rows: Tensor) -> "Conditioning":
        """Returns the conditioning of some rows; `rows` are integer indices, (b,)."""
        return Conditioning(self.embeds[rows], None if self.pooled is None else self.pooled[rows])

    def to(self, device: torch.device) -> "Conditioning":
        """Returns a copy on a device."""
        return Conditioning(self.embeds.to(device), None if self.pooled is None else self.pooled.to(device))


@dataclass(frozen=True)
class StableDiffusion:
    """A loaded base model.

    Attributes:
        pipeline: The diffusers pipeline; the VAE is fp32 whatever the rest is (SDXL's overflows in fp16).
        is_xl: Whether it is SDXL: two text encoders, pooled features and size conditioning.
        noise_scheduler: The training noise, with the model's own prediction_type.
        device: Where it lives.
    """

    pipeline: DiffusionPipeline
    is_xl: bool
    noise_scheduler: DDPMScheduler
    device: torch.device

    @property
    def text_encoders(self) -> dict[str, Any]:
        """The text encoders by component name."""
        names = ("text_encoder", "text_encoder_2") if self.is_xl else ("text_encoder",)
        return {name: getattr(self.pipeline, name) for name in names}

    @property
    def tokenizers(self) -> dict[str, Any]:
        """The tokenizers by component name."""
        names = ("tokenizer", "tokenizer_2") if self.is_xl else ("tokenizer",)
        return {name: getattr(self.pipeline, name) for name in names}

    @property
    def resolution(self) -> int:
        """The side of the images that the UNet was made for, pixels."""
        return int(self.pipeline.unet.config.sample_size) * int(self.pipeline.vae_scale_factor)

    @torch.no_grad()
    def encode_image(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes images to the latent posterior, scaled as the UNet expects.

        Args:
            pixels: (B, 3, H, W), float32 in [-1, 1].

        Returns:
            Mean and standard deviation, each (B, C, h, w), float32.
        """
        posterior = self.pipeline.vae.encode(pixels.to(self.device, torch.float32)).latent_dist
        scale = self.pipeline.vae.config.scaling_factor
        return posterior.mean.float() * scale, posterior.std.float() * scale

    def check_captions(self, captions: list[str]) -> None:
        """Refuses captions that the text encoder would cut off.

        Args:
            captions: The texts.

        Raises:
            CaptionError: A caption is longer than a tokenizer's limit; the message holds it.
        """
        for name, tokenizer in self.tokenizers.items():
            limit = tokenizer.model_max_length
            for caption in captions:
                length = len(tokenizer(caption, truncation=False)["input_ids"])
                if length > limit:
                    raise CaptionError(f"{length} tokens for the {name}, which takes {limit}: {caption!r}")

    def encode_text(self, captions: list[str]) -> Conditioning:
        """Encodes captions as the pipeline does at inference; gradients flow if they are enabled.

        Args:
            captions: B texts within the tokenizers' limits.

        Returns:
            The conditioning of B rows.
        """
        options = {"device": self.device, "num_images_per_prompt": 1, "do_classifier_free_guidance": False}
        if self.is_xl:
            embeds, _, pooled, _ = self.pipeline.encode_prompt(captions, **options)
            return Conditioning(embeds, pooled)
        return Conditioning(self.pipeline.encode_prompt(captions, **options)[0], None)


def load_stable_diffusion(
    model_id: str, revision: str | None, variant: str | None, dtype: str, device: torch.device
) -> StableDiffusion:
    """Loads a base model, frozen and in eval mode.

    Args:
        model_id: A folder or a hub id.
        revision: The pinned commit of a hub id; None for a folder.
        variant: Which weight files of the repository, for example ``fp16``; None for the plain ones.
        dtype: ``fp32``, ``bf16`` or ``fp16``, for everything but the VAE.
        device: Where to.

    Returns:
        The model.

    Raises:
        ModelMismatchError: The files describe another architecture, or are damaged.
    """
    folder = find_model(model_id, revision, model_patterns(variant))
    pipeline_class = read_pipeline_class(folder)
    is_xl = pipeline_class == "StableDiffusionXLPipeline"
    options = {} if is_xl else {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    try:
        pipeline = DiffusionPipeline.from_pretrained(
            folder,
            dtype={"default": DTYPES[dtype], "vae": torch.float32},
            variant=variant,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            **options,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelMismatchError(f"{folder}: cannot be loaded: {str(error).splitlines()[0].split('. ')[0]}") from error
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(device)
    # a fifth faster on processors with AVX2; docs/performance.md
    pipeline.unet.to(memory_format=torch.channels_last)
    for component in pipeline.components.values():
        if isinstance(component, torch.nn.Module):
            component.eval().requires_grad_(False)
    noise_scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    return StableDiffusion(pipeline, is_xl, noise_scheduler, device)


def read_pipeline_class(folder: Path) -> str:
    """Reads which pipeline a model folder holds.

    Args:
        folder: A diffusers model folder.

    Returns:
        A class name of diffusers.

    Raises:
        ModelMismatchError: It is no diffusers folder, or of an architecture that is not supported.
    """
    index = folder / "model_index.json"
    if not index.is_file():
        raise ModelMismatchError(f"{folder}: no model_index.json, so not a diffusers model folder")
    try:
        name = str(json.loads(index.read_text(encoding="utf-8")).get("_class_name"))
    except ValueError as error:
        raise ModelMismatchError(f"{index}: not valid JSON: {error}") from error
    if name not in SUPPORTED:
        raise ModelMismatchError(f"{index}: _class_name is {name}, expected one of {', '.join(SUPPORTED)}")
    return name


class Denoiser(torch.nn.Module):
    """The trained part of the model as one module, so that one distributed wrapper serves it.

    Args:
        model: The base model, with its adapters attached.
        train_text_encoder: Whether captions are encoded in every step, with gradients.
        gradient_checkpointing: Recompute activations in the backward pass.
    """

    def __init__(self, model: StableDiffusion, train_text_encoder: bool, gradient_checkpointing: bool) -> None:
        super().__init__()
        self.unet = model.pipeline.unet
        self.encoders = torch.nn.ModuleDict(model.text_encoders if train_text_encoder else {})
        self._model = model
        self._recompute_text = gradient_checkpointing
        if gradient_checkpointing:
            self.unet.enable_gradient_checkpointing()

    def forward(self, noisy: Tensor, timesteps: Tensor, text: Conditioning | list[str], size_px: Tensor) -> Tensor:
        """Predicts noise, or velocity for v-prediction models.

        Args:
            noisy: Noisy latents x_t, (B, C, h, w).
            timesteps: (B,), int64.
            text: Encoded captions of B rows, or B captions when the text encoders are trained.
            size_px: Height and width of the photo before it was resized, (B, 2), float32; used by SDXL only.

        Returns:
            The prediction, (B, C, h, w).
        """
        if isinstance(text, list):
            encode = self._model.encode_text
            text = checkpoint(encode, text, use_reentrant=False) if self._recompute_text else encode(text)
        dtype = self.unet.dtype
        extra = {}
        if text.pooled is not None:
            extra["added_cond_kwargs"] = {
                "text_embeds": text.pooled.to(dtype),
                "time_ids": time_ids(size_px, noisy.shape[-2:], int(self._model.pipeline.vae_scale_factor)),
            }
        prediction: Tensor = self.unet(noisy.to(dtype), timesteps, text.embeds.to(dtype), return_dict=False, **extra)[0]
        return prediction


def time_ids(size_px: Tensor, cells: tuple[int, int] | torch.Size, scale_factor: int) -> Tensor:
    """Builds SDXL's size conditioning: original size, crop corner, target size.

    Kept in float32: bfloat16 would round 1080 px to 1080 but 3021 px to 3024. A crop that was enlarged says so
    through its original size, so that the model does not learn the blur as part of the subject.

    Paper: SDXL (Podell et al., 2023), arXiv:2307.01952, section 2.2.

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
