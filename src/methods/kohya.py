"""Adapters in the layout of kohya's scripts, which ComfyUI, AUTOMATIC1111's web UI and InvokeAI read.

Layer names have underscores instead of dots, lora_down and lora_up stand for A and B, and each layer has its alpha.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from src.core.errors import ModelMismatchError
from src.methods.lora_files import WRAPPER
from src.methods.lora_header import FACTOR, recorded_numbers

SIDES = {"A": "down", "down": "down", "B": "up", "up": "up"}


def to_kohya(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Renames an adapter's layers and writes down alpha, which the diffusers format keeps in the header.

    Args:
        tensors: From `read_adapter`.
        metadata: From `read_adapter`.

    Returns:
        Tensors and metadata in kohya's layout; half precision, as such files usually are.

    Raises:
        ModelMismatchError: The adapter is a DoRA, whose magnitudes other tools expect in other shapes, or holds
            something else that is no LoRA layer.
    """
    alphas = recorded_numbers("the adapter", metadata, "lora_alpha")
    ranks = recorded_numbers("the adapter", metadata, "r")
    text = "lora_te1" if any(name.startswith("text_encoder_2.") for name in tensors) else "lora_te"
    prefixes = {"unet": "lora_unet", "text_encoder": text, "text_encoder_2": "lora_te2"}
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        match = FACTOR.fullmatch(name)
        component, _, layer = match["layer"].partition(".") if match else (name, "", "")
        if match is None or component not in prefixes:
            kind = "a DoRA adapter, which" if "magnitude" in name else f"{name}, which"
            raise ModelMismatchError(f"{kind} cannot be exported: only LoRA layers of UNet and text encoders can")
        if component != "unet":
            layer = WRAPPER + layer.removeprefix(WRAPPER)
        key = f"{prefixes[component]}_{layer.replace('.', '_')}"
        result[f"{key}.lora_{SIDES[match['new'] or match['old']]}.weight"] = tensor.half()
        rank = min(tensor.shape[:2])
        result[f"{key}.alpha"] = torch.tensor(float(alphas.get(component, rank)))
    return result, {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(ranks.get("unet", "")),
        "ss_network_alpha": str(alphas.get("unet", "")),
    }
