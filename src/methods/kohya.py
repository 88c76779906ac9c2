"""Adapters in the layouts that ComfyUI, AUTOMATIC1111's web UI, InvokeAI and kohya's scripts read.

Layer names have underscores instead of dots. LoRA: lora_down and lora_up stand for A and B, and each layer has its
alpha. LoHa and LoKr are LyCORIS's, whose factors peft has taken over. What else changes weights is written as the
change itself.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from src.core.errors import ModelMismatchError
from src.methods.lora_header import FACTOR, MAGNITUDE, WRAPPER, layer_alphas, layer_ranks
from src.methods.sdxl_names import original_name

SIDES = {"A": "down", "down": "down", "B": "up", "up": "up"}
# by tuner: the factors that scaling multiplies, one of which each layer has
SCALED = {"loha": ("hada_w1_a",), "lokr": ("lokr_w1", "lokr_w1_a")}
FULL = "try --layout full, which writes the change of every weight"


def layer_name(component: str, layer: str, xl: bool) -> str:
    """Names a layer as such files do.

    Args:
        component: ``unet``, ``text_encoder`` or ``text_encoder_2``.
        layer: Its dotted name in diffusers.
        xl: Whether the base model is an SDXL: its files use the names of Stability's own code.

    Returns:
        The name, with underscores.

    Raises:
        ModelMismatchError: SDXL has no such layer.
    """
    if component == "unet":
        return f"lora_unet_{original_name(layer) if xl else layer}".replace(".", "_")
    prefix = {"text_encoder": "lora_te1" if xl else "lora_te", "text_encoder_2": "lora_te2"}[component]
    return f"{prefix}_{WRAPPER}{layer.removeprefix(WRAPPER)}".replace(".", "_")


def to_kohya(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str], xl: bool
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Renames a LoRA's layers and writes down alpha, which the diffusers format keeps in the header.

    Args:
        tensors: From `read_adapter`.
        metadata: From `read_adapter`.
        xl: Whether the base model is an SDXL.

    Returns:
        Tensors in kohya's layout, in half precision, as such files usually are; and the header's ss_network_dim and
        ss_network_alpha, where all layers share them.

    Raises:
        ModelMismatchError: It is a DoRA, which AUTOMATIC1111's web UI normalises by columns and ComfyUI, as peft, by
            rows; or of a transformer, whose files have another layout; or holds something else that is no LoRA layer.
    """
    ranks = layer_ranks(tensors)
    alphas = layer_alphas("the adapter", metadata, ranks)
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        match = FACTOR.fullmatch(name)
        component, _, layer = match["layer"].partition(".") if match else (name.partition(".")[0], "", "")
        if component == "transformer":
            raise ModelMismatchError("of a transformer, whose tools read it in another layout: try --layout diffusers")
        if name.endswith(MAGNITUDE):
            raise ModelMismatchError(f"a DoRA, which tools compute in different ways: {FULL}")
        if match is None or component not in ("unet", "text_encoder", "text_encoder_2"):
            raise ModelMismatchError(f"{name[:200]} cannot be exported: it is no LoRA layer of UNet or text encoders")
        key = layer_name(component, layer, xl)
        result[f"{key}.lora_{SIDES[match['new'] or match['old']]}.weight"] = tensor.half()
        rank = min(tensor.shape[:2])
        result[f"{key}.alpha"] = torch.tensor(float(alphas.get(match["layer"], rank)))
    shared: dict[str, set[float]] = {
        "ss_network_dim": set(ranks.values()),
        "ss_network_alpha": {alphas.get(layer, rank) for layer, rank in ranks.items()},
    }
    return result, {key: f"{min(found):g}" for key, found in shared.items() if len(found) == 1}


def to_lycoris(tensors: Mapping[str, Tensor], tuner: str, rank: int, alpha: float, xl: bool) -> dict[str, Tensor]:
    """Renames the layers of a LoHa or LoKr of a UNet.

    The factor alpha / rank goes into one of the weights: of a LoKr whose matrices are both whole tools do not read it.

    Args:
        tensors: By the UNet's names, from `read_tuner`.
        tuner: ``loha`` or ``lokr``.
        rank: Of peft's settings.
        alpha: Of peft's settings.
        xl: Whether the base model is an SDXL.

    Returns:
        Tensors in LyCORIS's layout, in half precision.
    """
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        layer, _, factor = name.rpartition(".")
        key = layer_name("unet", layer, xl)
        result[f"{key}.{factor}"] = (tensor * (alpha / rank) if factor in SCALED[tuner] else tensor).half()
        result[f"{key}.alpha"] = torch.tensor(float(rank))
    return result


def to_changes(changes: Mapping[str, Tensor], name: Callable[[str], str]) -> dict[str, Tensor]:
    """Writes what was trained as the change of each weight, which every tool adds to the base's.

    Args:
        changes: By dotted name of the parameter, float32.
        name: Names a layer.

    Returns:
        Tensors by ``LAYER.diff`` for weights and ``LAYER.diff_b`` for biases, in half precision; those that are all
        zeros are left out.

    Raises:
        ModelMismatchError: A parameter that is neither weight nor bias has changed, or none has.
    """
    result = {}
    for parameter, change in changes.items():
        layer, _, kind = parameter.rpartition(".")
        if not change.any():
            continue
        if kind not in ("weight", "bias"):
            raise ModelMismatchError(f"{parameter} changed, and such files know weights and biases alone")
        result[f"{name(layer)}.diff{'_b' * (kind == 'bias')}"] = change.half()
    if not result:
        raise ModelMismatchError("no weight of the denoiser differs from the base model's")
    return result
