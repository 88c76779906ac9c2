"""The layers of SDXL, Stable Diffusion 3 and FLUX.1 under the names of their authors' code, as layers of diffusers.

There one layer may stand for several here: its outputs lie one after the other. The tables are those of diffusers'
`convert_flux_transformer_checkpoint_to_diffusers` and `convert_sd3_transformer_checkpoint_to_diffusers`.
"""

import re
from dataclasses import dataclass

from src.methods.sdxl_names import diffusers_name


@dataclass(frozen=True)
class Target:
    """A layer of diffusers, and which of the original's outputs it has.

    Attributes:
        layer: Its name within the denoiser.
        start: Of its share of the outputs, in shares.
        stop: Of it.
        of: All shares.
    """

    layer: str
    start: int = 0
    stop: int = 1
    of: int = 1


QKV = ("attn.to_q", "attn.to_k", "attn.to_v")
ADDED = ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")
# of a layer's outputs, where several have not as many each: the hidden layer of FLUX's is four times as wide
SHARES = {"proj_mlp": 4}
BLOCKS: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    r"double_blocks\.(\d+)\.": (
        "transformer_blocks",
        {
            "img_attn.qkv": QKV,
            "txt_attn.qkv": ADDED,
            "img_attn.proj": ("attn.to_out.0",),
            "txt_attn.proj": ("attn.to_add_out",),
            "img_mlp.0": ("ff.net.0.proj",),
            "img_mlp.2": ("ff.net.2",),
            "txt_mlp.0": ("ff_context.net.0.proj",),
            "txt_mlp.2": ("ff_context.net.2",),
            "img_mod.lin": ("norm1.linear",),
            "txt_mod.lin": ("norm1_context.linear",),
        },
    ),
    r"single_blocks\.(\d+)\.": (
        "single_transformer_blocks",
        {"linear1": (*QKV, "proj_mlp"), "linear2": ("proj_out",), "modulation.lin": ("norm.linear",)},
    ),
    r"joint_blocks\.(\d+)\.": (
        "transformer_blocks",
        {
            "x_block.attn.qkv": QKV,
            "x_block.attn2.qkv": ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
            "context_block.attn.qkv": ADDED,
            "x_block.attn.proj": ("attn.to_out.0",),
            "x_block.attn2.proj": ("attn2.to_out.0",),
            "context_block.attn.proj": ("attn.to_add_out",),
            "x_block.mlp.fc1": ("ff.net.0.proj",),
            "x_block.mlp.fc2": ("ff.net.2",),
            "context_block.mlp.fc1": ("ff_context.net.0.proj",),
            "context_block.mlp.fc2": ("ff_context.net.2",),
            "x_block.adaLN_modulation.1": ("norm1.linear",),
            "context_block.adaLN_modulation.1": ("norm1_context.linear",),
        },
    ),
}
OUTSIDE = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
    "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
    "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
    "final_layer.linear": "proj_out",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
}
UNET_TOPS = ("input_blocks", "middle_block", "output_blocks", "time_embed", "label_emb", "out")
# where there are two outputs an input, these layers have shift and scale the other way round here
MODULATIONS = ("norm_out.linear", "norm1_context.linear")


def targets(layer: str) -> list[Target]:
    """Finds the layers of diffusers that a layer of the authors' code stands for.

    Args:
        layer: Its dotted name within the denoiser, of either kind.

    Returns:
        At least one; a layer that is called as in diffusers, or that nobody knows, is itself.

    Raises:
        ModelMismatchError: It is called as SDXL's, and SDXL has none of that name.
    """
    if layer.split(".")[0] in UNET_TOPS:
        return [Target(diffusers_name(layer))]
    if layer in OUTSIDE:
        return [Target(OUTSIDE[layer])]
    for pattern, (block, names) in BLOCKS.items():
        match = re.match(pattern, layer)
        if match and (found := names.get(layer[match.end() :])):
            shares = [SHARES.get(name, 1) for name in found]
            stops = [sum(shares[: index + 1]) for index in range(len(shares))]
            return [
                Target(f"{block}.{match[1]}.{name}", stop - share, stop, stops[-1])
                for name, share, stop in zip(found, shares, stops, strict=True)
            ]
    return [Target(layer)]
