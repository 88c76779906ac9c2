"""What layers of SDXL's UNet are called in Stability's own code, and so in files of kohya's scripts for SDXL.

There all blocks of a side are counted through: ``input_blocks.4.1`` is ``down_blocks.1.attentions.0``. Reference:
`openaimodel.py` of Stability-AI/generative-models. A file has underscores for the dots.
"""

import re

from src.core.errors import ModelMismatchError

# of a down block; an up block has one more, and a downsampler or the input counts as one, too
LAYERS_PER_BLOCK = 2
PERIOD = LAYERS_PER_BLOCK + 1
OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
MIDDLE = ("mid_block.resnets.0", "mid_block.attentions.0", "mid_block.resnets.1")
IN_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
FROM_OUTSIDE = {old: new for new, old in OUTSIDE.items()}
FROM_RESNET = {old: new for new, old in IN_RESNET.items()}
SIDES = {"down": "input_blocks", "up": "output_blocks"}
KINDS = ("resnets", "attentions")  # their numbers within a block, there
LAYER = re.compile(r"(?P<side>down|up)_blocks\.(?P<block>\d)\.(?P<kind>resnets|attentions)\.(?P<layer>\d)(?P<rest>.*)")
SAMPLER = re.compile(r"(?P<side>down|up)_blocks\.(?P<block>\d)\.(?:down|up)samplers\.0\.conv")
ORIGINAL = re.compile(r"(?P<side>input|output)_blocks\.(?P<index>\d+)\.(?P<part>[012])(?P<rest>.*)")


def original_name(layer: str) -> str:
    """Names a layer of SDXL's UNet as Stability's code does.

    Args:
        layer: Its dotted name in diffusers, ``down_blocks.1.attentions.0.proj_in``.

    Returns:
        The dotted name there, ``input_blocks.4.1.proj_in``.

    Raises:
        ModelMismatchError: There is no such layer.
    """
    if (match := SAMPLER.fullmatch(layer)) is not None:
        index, up = int(match["block"]) * PERIOD + LAYERS_PER_BLOCK, match["side"] == "up"
        # beside a layer and its attention, which SDXL's up blocks have
        return f"output_blocks.{index}.2.conv" if up else f"input_blocks.{index + 1}.0.op"
    if (match := LAYER.fullmatch(layer)) is not None:
        up, number = match["side"] == "up", int(match["layer"])
        if number < LAYERS_PER_BLOCK + up:
            index, part = int(match["block"]) * PERIOD + number, KINDS.index(match["kind"])
            return f"{SIDES[match['side']]}.{index + (not up)}.{part}{_inner(match['rest'], part, IN_RESNET)}"
    for index, new in enumerate(MIDDLE):
        if f"{layer}.".startswith(f"{new}."):
            return f"middle_block.{index}{_inner(layer.removeprefix(new), index % 2, IN_RESNET)}"
    if layer in OUTSIDE:
        return OUTSIDE[layer]
    raise ModelMismatchError(f"{layer[:200]!r} is no layer of SDXL's UNet")


def diffusers_name(original: str) -> str:
    """Names a layer of SDXL's UNet as diffusers does; the inverse of `original_name`.

    Args:
        original: Its dotted name in Stability's code.

    Returns:
        The dotted name in diffusers.

    Raises:
        ModelMismatchError: There is no such layer.
    """
    for index, new in enumerate(MIDDLE):
        if f"{original}.".startswith(old := f"middle_block.{index}."):
            return new + _inner(original.removeprefix(old[:-1]), index % 2, FROM_RESNET)
    if original in FROM_OUTSIDE:
        return FROM_OUTSIDE[original]
    if (match := ORIGINAL.fullmatch(original)) is not None:
        up, part, rest = match["side"] == "output", int(match["part"]), match["rest"]
        block, layer = divmod(int(match["index"]) - (not up), PERIOD)
        if not up and layer == LAYERS_PER_BLOCK:
            if part == 0 and rest == ".op":
                return f"down_blocks.{block}.downsamplers.0.conv"
        elif up and layer == LAYERS_PER_BLOCK and rest == ".conv":
            return f"up_blocks.{block}.upsamplers.0.conv"
        elif part < len(KINDS) and block >= 0:
            side = "up" if up else "down"
            return f"{side}_blocks.{block}.{KINDS[part]}.{layer}{_inner(rest, part, FROM_RESNET)}"
    raise ModelMismatchError(f"{original[:200]!r} is no layer of SDXL's UNet")


def _inner(rest: str, part: int, names: dict[str, str]) -> str:
    """Renames what follows a block: attention is called the same by both, a resnet's layers are not."""
    if part == KINDS.index("attentions") or not rest:
        return rest
    if rest[1:] not in names:
        raise ModelMismatchError(f"{rest[:200]!r} is no layer of a resnet in SDXL's UNet")
    return f".{names[rest[1:]]}"
