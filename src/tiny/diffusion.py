"""Stable Diffusion 1.x, 2.x and XL in small: the true architectures and file formats with random weights.

They draw noise. They exist so that every line of the pipeline runs, and is tested, without a network or a GPU.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from src.core.seeding import derive_seed
from src.tiny.text import CONTEXT_LENGTH, build_clip_tokenizer

TEXT_WIDTH = 32
RESOLUTION = 64
NOISE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
XL_NOISE = {key: NOISE[key] for key in ("beta_start", "beta_end", "beta_schedule", "steps_offset")}


def build_diffusion(folder: Path, kind: str, words: list[str], seed: int) -> None:
    """Writes a complete diffusers pipeline folder; the same arguments give the same bytes.

    Args:
        folder: Where to write.
        kind: ``sd1``, ``sd2`` (v-prediction) or ``sdxl``.
        words: The tokenizer's vocabulary.
        seed: Of the weights.
    """
    builders: dict[str, Callable[[Path, list[str]], DiffusionPipeline]] = {
        "sd1": _sd1,
        "sd2": _sd2,
        "sdxl": _sdxl,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "tiny", kind))
        pipeline = builders[kind](folder, words)
    pipeline.save_pretrained(folder, safe_serialization=True)


def _tokenizer(folder: Path, words: list[str], pad_token: str) -> CLIPTokenizer:
    build_clip_tokenizer(folder, words, pad_token, CONTEXT_LENGTH)
    return CLIPTokenizer.from_pretrained(folder)


def _text_config(tokenizer: CLIPTokenizer, layers: int, projection: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT_LENGTH,
        projection_dim=projection,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _vae(scaling_factor: float) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=RESOLUTION,
        scaling_factor=scaling_factor,
    )


def _unet(cross_attention_dim: int, **extra: object) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=RESOLUTION // 8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=cross_attention_dim,
        **extra,
    )


def _sd(
    folder: Path, words: list[str], pad_token: str, prediction_type: str, **unet: object
) -> StableDiffusionPipeline:
    tokenizer = _tokenizer(folder / "tokenizer", words, pad_token)
    return StableDiffusionPipeline(
        vae=_vae(0.18215),
        text_encoder=CLIPTextModel(_text_config(tokenizer, layers=2, projection=TEXT_WIDTH)),
        tokenizer=tokenizer,
        unet=_unet(TEXT_WIDTH, **unet),
        scheduler=DDIMScheduler(**NOISE, prediction_type=prediction_type),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _sd1(folder: Path, words: list[str]) -> StableDiffusionPipeline:
    return _sd(folder, words, "<|endoftext|>", "epsilon", attention_head_dim=4)


def _sd2(folder: Path, words: list[str]) -> StableDiffusionPipeline:
    return _sd(folder, words, "!", "v_prediction", attention_head_dim=(4, 8), use_linear_projection=True)


def _sdxl(folder: Path, words: list[str]) -> StableDiffusionXLPipeline:
    first = _tokenizer(folder / "tokenizer", words, "<|endoftext|>")
    second = _tokenizer(folder / "tokenizer_2", words, "!")
    unet = _unet(
        2 * TEXT_WIDTH,
        attention_head_dim=(4, 8),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2),
        projection_class_embeddings_input_dim=6 * 8 + TEXT_WIDTH,
    )
    return StableDiffusionXLPipeline(
        vae=_vae(0.13025),
        text_encoder=CLIPTextModel(_text_config(first, layers=2, projection=TEXT_WIDTH)),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(second, layers=2, projection=TEXT_WIDTH)),
        tokenizer=first,
        tokenizer_2=second,
        unet=unet,
        scheduler=EulerDiscreteScheduler(**XL_NOISE, prediction_type="epsilon"),
        force_zeros_for_empty_prompt=True,
    )
