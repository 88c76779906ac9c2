"""The sizes of the bases as their published configurations have them, and each at toy size."""

from typing import Any, NamedTuple

# updates that are timed, at real size
UPDATES = 10
SD_UNET = {"cross_attention_dim": 768, "attention_head_dim": 8, "sample_size": 64}
XL_UNET = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
VAE_16 = VAE | {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False, "shift_factor": 0.1}
SD2_UNET = {
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
    "sample_size": 96,
}
# Stable Diffusion 3.5 medium
SD3 = {
    "sample_size": 128,
    "num_layers": 24,
    "attention_head_dim": 64,
    "num_attention_heads": 24,
    "caption_projection_dim": 1536,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 2048,
    "out_channels": 16,
    "pos_embed_max_size": 384,
    "dual_attention_layers": tuple(range(13)),
    "qk_norm": "rms_norm",
}
# FLUX.1 dev; the rest are diffusers' defaults
FLUX = {"num_layers": 19, "num_single_layers": 38, "guidance_embeds": True}
T5_XXL = {
    "vocab_size": 32128,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}
CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
CLIP_H = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16}
CLIP_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}


TINY_UNET = {
    "sample_size": 8,
    "block_out_channels": (32, 64),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 4,
    "cross_attention_dim": 32,
}
TINY_XL_UNET = TINY_UNET | {
    "cross_attention_dim": 64,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 32 + 6 * 8,
}
TINY_VAE = VAE | {"block_out_channels": (32, 32, 32, 32), "layers_per_block": 1}
TINY_VAE_16 = VAE_16 | {"block_out_channels": (32, 32, 32, 32), "layers_per_block": 1}
TINY_SD3 = SD3 | {
    "sample_size": 8,
    "num_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 4,
    "caption_projection_dim": 32,
    "joint_attention_dim": 64,
    "pooled_projection_dim": 64,
    "pos_embed_max_size": 16,
    "dual_attention_layers": (0,),
}
TINY_FLUX = {
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 64,
    "pooled_projection_dim": 32,
    "axes_dims_rope": (4, 6, 6),
    "guidance_embeds": True,
}
TINY_T5 = T5_XXL | {"d_model": 64, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
TINY_CLIP = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


class Size(NamedTuple):
    """Arguments of a base's parts.

    Attributes:
        family: ``sd``, ``sdxl``, ``sd3`` or ``flux``.
        network: Of the denoiser.
        vae: Of the VAE.
        clip: Of each CLIP; the last one projects to the last number of `projections`.
        projections: Of each CLIP.
        t5: Of T5; None where there is none.
        resolution: Side of the images that it was made for, pixels.
        updates: That are timed.
        sample_steps: Of the sampler.
        turns: How often each setting and the plain loop are timed in turn.
    """

    family: str
    network: dict[str, Any]
    vae: dict[str, Any]
    clip: tuple[dict[str, Any], ...]
    projections: tuple[int, ...]
    t5: dict[str, Any] | None
    resolution: int
    updates: int
    sample_steps: int
    turns: int


SIZES = {
    "sd15": Size("sd", SD_UNET, VAE, (CLIP_L,), (768,), None, 512, UPDATES, 30, 2),
    "sd21": Size("sd", SD2_UNET, VAE, (CLIP_H,), (1024,), None, 768, UPDATES, 30, 2),
    "sdxl": Size("sdxl", XL_UNET, VAE, (CLIP_L, CLIP_G), (768, 1280), None, 1024, UPDATES, 30, 2),
    "sd3": Size("sd3", SD3, VAE_16, (CLIP_L, CLIP_G), (768, 1280), T5_XXL, 1024, UPDATES, 28, 1),
    "flux_dev": Size("flux", FLUX, VAE_16, (CLIP_L,), (768,), T5_XXL, 1024, UPDATES, 28, 1),
    "tiny15": Size("sd", TINY_UNET, TINY_VAE, (TINY_CLIP,), (32,), None, 64, 1, 2, 1),
    "tinyxl": Size("sdxl", TINY_XL_UNET, TINY_VAE, (TINY_CLIP, TINY_CLIP), (32, 32), None, 64, 1, 2, 1),
    "tiny3": Size("sd3", TINY_SD3, TINY_VAE_16, (TINY_CLIP, TINY_CLIP), (32, 32), TINY_T5, 64, 1, 2, 1),
    "tinyflux": Size("flux", TINY_FLUX, TINY_VAE_16, (TINY_CLIP,), (32,), TINY_T5, 64, 1, 2, 1),
}
