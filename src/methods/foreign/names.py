"""Whose tensor is it: names of adapters' tensors as the tools write them, as a layer of diffusers and a part of its
update.

diffusers (several ages), peft, kohya's scripts, LyCORIS, ai-toolkit, OneTrainer and ComfyUI differ in what stands
before a layer's name, in how the layer is called, and in what the parts of an update are called.
"""

import re
from dataclasses import dataclass

from src.core.errors import ModelMismatchError
from src.methods.foreign.originals import Target, targets
from src.methods.foreign.words import dotted

UNKNOWN = ""  # the component follows from the layer's name
PREFIXES = {
    "unet": UNKNOWN,
    "transformer": UNKNOWN,
    "diffusion_model": UNKNOWN,
    "model.diffusion_model": UNKNOWN,
    "base_model.model": UNKNOWN,
    "lycoris": UNKNOWN,
    "lora_unet": UNKNOWN,
    "lora_transformer": UNKNOWN,
    "lora_te": "text_encoder",
    "lora_te1": "text_encoder",
    "lora_te2": "text_encoder_2",
    "lora_te3": "text_encoder_3",
    "text_encoder": "text_encoder",
    "text_encoder_2": "text_encoder_2",
    "text_encoder_3": "text_encoder_3",
    "clip_l": "text_encoder",
    "clip_g": "text_encoder_2",
    "t5": "text_encoder_3",
}
# the first words of what the components consist of
UNET = (
    "add_embedding",
    "conv_in",
    "conv_norm_out",
    "conv_out",
    "down_blocks",
    "mid_block",
    "time_embedding",
    "up_blocks",
)
TRANSFORMER = (
    "context_embedder",
    "norm_out",
    "pos_embed",
    "proj_out",
    "single_transformer_blocks",
    "time_text_embed",
    "transformer_blocks",
    "x_embedder",
)
TEXT = ("text_model", "text_projection", "encoder")
COMPONENTS = {
    **dict.fromkeys(UNET, "unet"),
    **dict.fromkeys(TRANSFORMER, "transformer"),
    **dict.fromkeys(TEXT, "text_encoder"),
}
# what the parts of an update are called, by what they are called here
PARTS = {
    "down": r"lora_A(?:\.default)?\.weight|lora_down\.weight|lora(?:_linear_layer)?\.down\.weight",
    "up": r"lora_B(?:\.default)?\.weight|lora_up\.weight|lora(?:_linear_layer)?\.up\.weight",
    "mid": r"lora_mid\.weight",
    "alpha": "alpha",
    "dora_scale": "dora_scale",
    "magnitude": r"lora_magnitude_vector(?:\.default)?(?:\.weight)?",
    **{name: name for name in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2")},
    **{name: name for name in ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2")},
    "diff": "diff|w_norm",
    "diff_b": "diff_b|b_norm",
}
KEY = re.compile(r"(?P<layer>.+?)\.(?:" + "|".join(f"(?P<{part}>{form})" for part, form in PARTS.items()) + ")")
# diffusers before peft: the factors of attention lay in its processor
PROCESSOR = re.compile(r"(?P<layer>.+?)(?:\.processor)?\.to_(?P<which>q|k|v|out)_lora\.(?P<side>down|up)\.weight")


@dataclass(frozen=True)
class Part:
    """What a tensor is.

    Attributes:
        layers: Whose it is: more than one where the tool has one layer for several.
        component: Of the pipeline, ``unet``.
        name: Of PARTS.
        renamed: Whether the file calls the layer as its model's authors do, and diffusers otherwise.
    """

    layers: tuple[Target, ...]
    component: str
    name: str
    renamed: bool


def find_part(key: str) -> Part | None:
    """Tells what a tensor of an adapter's file is.

    Args:
        key: Its name.

    Returns:
        None for no part of an update that is known here.

    Raises:
        ModelMismatchError: It is one, of a layer that no supported base model has.
    """
    if (old := PROCESSOR.fullmatch(key)) is not None:
        return _part(f"{old['layer']}.{_attention(old['layer'], old['which'])}", old["side"], key)
    if (match := KEY.fullmatch(key)) is None:
        return None
    return _part(match["layer"], next(name for name in PARTS if match[name] is not None), key)


def _attention(layer: str, which: str) -> str:
    """Returns the layer of an attention that a factor of its processor belongs to."""
    if layer.endswith("self_attn"):
        return f"{which}_proj"
    return "to_out.0" if which == "out" else f"to_{which}"


def _part(layer: str, name: str, key: str) -> Part:
    component, layer = _without_prefix(layer)
    found = tuple(targets(layer)) if component == UNKNOWN else (Target(layer),)
    if component == UNKNOWN:
        component = COMPONENTS.get(found[0].layer.split(".")[0], UNKNOWN)
    if component == UNKNOWN:
        raise ModelMismatchError(f"{key[:200]!r} is of no layer of a supported base model")
    if component == "text_encoder_3":
        raise ModelMismatchError(f"{key[:200]!r} is of T5, the text encoder that is never adapted here")
    return Part(found, component, name, found != (Target(layer),))


def _without_prefix(layer: str) -> tuple[str, str]:
    for prefix in sorted(PREFIXES, key=len, reverse=True):
        if layer.startswith(f"{prefix}."):
            return PREFIXES[prefix], layer.removeprefix(f"{prefix}.")
        if layer.startswith(f"{prefix}_") and "." not in layer:
            return PREFIXES[prefix], dotted(layer.removeprefix(f"{prefix}_"))
    return UNKNOWN, layer
