"""Base models of random weights at the sizes of real_sizes: time and memory ask for no real ones."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
)

from benchmarks.real_sizes import SIZES
from src.models.base import DTYPES, BaseModel
from src.models.flux import Flux
from src.models.pipelines import prepare
from src.models.sd import StableDiffusion
from src.models.sd3 import StableDiffusion3
from src.models.sdxl import StableDiffusionXL
from src.models.tokenizers import CONTEXT_LENGTH, build_clip_tokenizer
from tests.tiny.diffusion import NOISE, build_t5_tokenizer
from tests.tiny.words import WORDS

NETWORKS = {"sd3": SD3Transformer2DModel, "flux": FluxTransformer2DModel}
# what FLUX reads of a caption; SD3's pipeline reads 256
T5_LENGTH = 512
MAKERS: dict[str, Callable[[DiffusionPipeline, torch.device], BaseModel]] = {
    "sd": StableDiffusion.of,
    "sdxl": StableDiffusionXL.of,
    "sd3": StableDiffusion3.of,
    "flux": Flux.of,
}


def build(name: str, dtype: str, device: torch.device) -> BaseModel:
    """Builds a base model of random weights on the device.

    Args:
        name: A key of SIZES.
        dtype: Of everything but the VAE.
        device: Where to; on `meta` there are shapes alone.

    Returns:
        The model, frozen, as `load_base_model` leaves it.
    """
    torch.manual_seed(0)
    size = SIZES[name]
    with tempfile.TemporaryDirectory() as folder:
        build_clip_tokenizer(Path(folder), list(WORDS), "<|endoftext|>", CONTEXT_LENGTH)
        tokenizer = CLIPTokenizer.from_pretrained(folder)
    with device:
        parts = _texts(name, tokenizer)
        network = NETWORKS.get(size.family, UNet2DConditionModel)(**size.network)
        parts["unet" if size.family.startswith("sd") and size.family != "sd3" else "transformer"] = network
        parts["vae"] = AutoencoderKL(**size.vae, scaling_factor=0.18215, force_upcast=False)
    pipeline = _pipeline(size.family, parts)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.to(torch.float32 if part is pipeline.vae else DTYPES[dtype])
    return MAKERS[size.family](prepare(pipeline, device), device)


def _texts(name: str, tokenizer: CLIPTokenizer) -> dict[str, Any]:
    """Returns text encoders and tokenizers by component name."""
    size, parts = SIZES[name], dict[str, Any]()
    tokens = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    for index, (arguments, width) in enumerate(zip(size.clip, size.projections, strict=True)):
        config = CLIPTextConfig(**arguments, **tokens, projection_dim=width, vocab_size=len(tokenizer))
        projects = size.family == "sd3" or index
        suffix = f"_{index + 1}" if index else ""
        parts[f"text_encoder{suffix}"] = (CLIPTextModelWithProjection if projects else CLIPTextModel)(config)
        parts[f"tokenizer{suffix}"] = tokenizer
    if size.t5:
        suffix = f"_{len(size.clip) + 1}"
        parts[f"text_encoder{suffix}"] = T5EncoderModel(T5Config(**size.t5))
        parts[f"tokenizer{suffix}"] = build_t5_tokenizer(list(WORDS), T5_LENGTH)
    return parts


def _pipeline(family: str, parts: dict[str, Any]) -> DiffusionPipeline:
    if family in NETWORKS:
        kind = StableDiffusion3Pipeline if family == "sd3" else FluxPipeline
        return kind(scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), **parts)
    noise = {key: NOISE[key] for key in ("beta_start", "beta_end", "beta_schedule", "steps_offset")}
    scheduler = DPMSolverMultistepScheduler(**noise)
    if family == "sdxl":
        return StableDiffusionXLPipeline(scheduler=scheduler, **parts)
    nobody = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return StableDiffusionPipeline(scheduler=scheduler, **parts, **nobody)
