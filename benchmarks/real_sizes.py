"""The sizes of SD 1.5 and SDXL as their published configurations have them, and both at toy size."""

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
CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
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
TINY_CLIP = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


class Size(NamedTuple):
    """Arguments of a base's parts.

    Attributes:
        unet: Of the UNet.
        vae: Of the VAE.
        clip: Of each text encoder; the last one projects to the last number of `projections`.
        projections: Of each text encoder.
        updates: That are timed.
        draw_steps: Of the sampler.
        turns: How often each setting and the plain loop are timed in turn.
    """

    unet: dict[str, Any]
    vae: dict[str, Any]
    clip: tuple[dict[str, Any], ...]
    projections: tuple[int, ...]
    updates: int
    sample_steps: int
    turns: int


SIZES = {
    "sd15": Size(SD_UNET, VAE, (CLIP_L,), (768,), UPDATES, 30, 2),
    "sdxl": Size(XL_UNET, VAE, (CLIP_L, CLIP_G), (768, 1280), UPDATES, 30, 2),
    "tiny15": Size(TINY_UNET, TINY_VAE, (TINY_CLIP,), (32,), 1, 2, 1),
    "tinyxl": Size(TINY_XL_UNET, TINY_VAE, (TINY_CLIP, TINY_CLIP), (32, 32), 1, 2, 1),
}
