"""Stable Diffusion 1.x, 2.x, XL, 3 and FLUX in small: the true architectures and file formats with random weights.

They generate noise. They exist so that every line of the pipeline runs, and is tested, without a network or a GPU.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    EulerDiscreteScheduler,
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
    T5Tokenizer,
)

from src.core.seeding import derive_seed
from src.models.tokenizers import CONTEXT_LENGTH, build_clip_tokenizer

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
        kind: ``sd1``, ``sd2`` (v-prediction), ``sdxl``, ``sd3`` or ``flux``.
        words: The tokenizer's vocabulary.
        seed: Of the weights.
    """
    builders: dict[str, Callable[[Path, list[str]], DiffusionPipeline]] = {
        "sd1": _sd1,
        "sd2": _sd2,
        "sdxl": _sdxl,
        "sd3": _sd3,
        "flux": _flux,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "tiny", kind))
        pipeline = builders[kind](folder, words)
    pipeline.save_pretrained(folder, safe_serialization=True)


def _tokenizer(folder: Path, words: list[str], pad_token: str) -> CLIPTokenizer:
    build_clip_tokenizer(folder, words, pad_token, CONTEXT_LENGTH)
    return CLIPTokenizer.from_pretrained(folder)


def build_t5_tokenizer(words: Sequence[str], length: int) -> T5Tokenizer:
    """Builds a T5 tokenizer (a unigram model) that knows the words, and spells everything else.

    Args:
        words: The words that are to be one piece each.
        length: Of a text in pieces, its end included.

    Returns:
        The tokenizer.
    """
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    pieces = dict.fromkeys(["\u2581", *letters, *("\u2581" + word.lower() for word in words)])
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((piece, -float(len(piece) == 1) - 1) for piece in pieces)]
    return T5Tokenizer(vocab=vocab, extra_ids=0, model_max_length=length)


def _text_config(tokenizer: CLIPTokenizer, layers: int, projection: int, width: int = TEXT_WIDTH) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT_LENGTH,
        projection_dim=projection,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _vae(scaling_factor: float, channels: int = 4, **extra: object) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=channels,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=RESOLUTION,
        scaling_factor=scaling_factor,
        **extra,
    )


def _unet(cross_attention_dim: int, layers: int = 1, **extra: object) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=RESOLUTION // 8,
        block_out_channels=(32, 64),
        layers_per_block=layers,
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
    # the second is wider, as the published one is: single files tell the two by it
    wide = 2 * TEXT_WIDTH
    unet = _unet(
        TEXT_WIDTH + wide,
        layers=2,  # by which files of other tools name the blocks
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
        text_encoder_2=CLIPTextModelWithProjection(_text_config(second, 2, TEXT_WIDTH, wide)),
        tokenizer=first,
        tokenizer_2=second,
        unet=unet,
        scheduler=EulerDiscreteScheduler(**XL_NOISE, prediction_type="epsilon"),
        force_zeros_for_empty_prompt=True,
    )


def _t5(words: int, width: int) -> T5EncoderModel:
    return T5EncoderModel(T5Config(vocab_size=words, d_model=width, d_kv=8, d_ff=width, num_layers=1, num_heads=4))


def _sd3(folder: Path, words: list[str]) -> StableDiffusion3Pipeline:
    first = _tokenizer(folder / "tokenizer", words, "<|endoftext|>")
    second = _tokenizer(folder / "tokenizer_2", words, "!")
    third = build_t5_tokenizer(words, CONTEXT_LENGTH)
    texts = [CLIPTextModelWithProjection(_text_config(t, layers=2, projection=TEXT_WIDTH)) for t in (first, second)]
    width = 2 * TEXT_WIDTH
    transformer = SD3Transformer2DModel(
        sample_size=RESOLUTION // 8,
        patch_size=2,
        in_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=width,
        caption_projection_dim=TEXT_WIDTH,
        pooled_projection_dim=width,
        out_channels=16,
        pos_embed_max_size=16,
        qk_norm="rms_norm",
    )
    return StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(1.5305, 16, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=texts[0],
        tokenizer=first,
        text_encoder_2=texts[1],
        tokenizer_2=second,
        text_encoder_3=_t5(len(third), width),
        tokenizer_3=third,
    )


def _flux(folder: Path, words: list[str]) -> FluxPipeline:
    first = _tokenizer(folder / "tokenizer", words, "<|endoftext|>")
    second = build_t5_tokenizer(words, 512)
    width = 2 * TEXT_WIDTH
    transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=width,
        pooled_projection_dim=TEXT_WIDTH,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
    )
    return FluxPipeline(
        transformer=transformer,
        # as of FLUX.1-dev
        scheduler=FlowMatchEulerDiscreteScheduler(
            shift=3.0,
            use_dynamic_shifting=True,
            base_shift=0.5,
            max_shift=1.15,
            base_image_seq_len=256,
            max_image_seq_len=4096,
        ),
        vae=_vae(0.3611, 16, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=CLIPTextModel(_text_config(first, layers=2, projection=TEXT_WIDTH)),
        tokenizer=first,
        text_encoder_2=_t5(len(second), width),
        tokenizer_2=second,
    )
