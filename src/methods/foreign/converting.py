"""Writes an adapter's file of any layout anew in this project's formats, values untouched."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from src.methods.foreign.layers import Update, alpha_of
from src.methods.foreign.updates import LORA, SCALE, rank_of
from src.methods.lora_files import WEIGHTS as LORA_WEIGHTS
from src.methods.lora_header import FACTOR, HEADER_KEY, MAGNITUDE, layer_alphas, recorded_numbers
from src.methods.weight_updates import WEIGHTS as UPDATE_WEIGHTS
from src.models.tensors import save_tensors

COMPONENTS = ("unet", "transformer", "text_encoder", "text_encoder_2", "text_encoder_3")


def is_own(path: Path, names: list[str], metadata: Mapping[str, str]) -> bool:
    """Says whether a file is a LoRA as this project writes it, so that nothing has to be converted.

    Args:
        path: For the message.
        names: Of its tensors.
        metadata: Of its header.

    Returns:
        False for the layouts of other tools, older ones of diffusers, and where alpha is not told.

    Raises:
        ModelMismatchError: The header's note is damaged.
    """
    layers = []
    for name in names:
        match = FACTOR.fullmatch(name)
        if not (match and match["new"]) and not name.endswith(MAGNITUDE):
            return False
        layers.append(name.partition(".")[0])
    known = recorded_numbers(path, metadata, "lora_alpha")
    return bool(layers) and set(layers) <= known.keys() & set(COMPONENTS)


def save_updates(path: Path, folder: Path, updates: Mapping[str, Update], metadata: Mapping[str, str]) -> None:
    """Writes updates as a checkpoint.

    Args:
        path: The file that they are from, for messages.
        folder: Where to; made when missing.
        updates: From `read_updates`.
        metadata: Of the file's header.

    Raises:
        ModelMismatchError: The header's note is damaged.
    """
    found = {layer: rank_of(update.parts) for layer, update in updates.items()}
    ranks = {layer: rank for layer, rank in found.items() if rank is not None}
    noted = layer_alphas(path, metadata, ranks)
    alphas = {layer: alpha_of(updates[layer], rank, noted.get(layer)) for layer, rank in ranks.items()}
    folder.mkdir(parents=True, exist_ok=True)
    if _is_lora(updates):
        _save_lora(folder, updates, alphas)
        return
    tensors: dict[str, Tensor] = {}
    for layer, update in updates.items():
        parts = dict(update.parts)
        if "magnitude" in parts:
            parts["dora_scale"] = parts.pop("magnitude").reshape(-1, 1)
        scale = alphas[layer] / ranks[layer] if layer in ranks else 1.0
        parts[SCALE] = torch.tensor(scale, dtype=torch.float64)
        tensors |= {f"{layer}.{name}": tensor for name, tensor in parts.items()}
    save_tensors(folder / UPDATE_WEIGHTS, tensors, {"format": "pt"})


def _is_lora(updates: Mapping[str, Update]) -> bool:
    """Says whether peft's LoRA is all of it: no Tucker core, and DoRA by outputs for all layers of a part or none."""
    dora: dict[str, set[bool]] = {}
    for layer, update in updates.items():
        scales = update.parts.get("dora_scale")
        by_inputs = (
            scales is not None and scales.shape[0] != update.parts["up"].shape[0] if update.kind == LORA else True
        )
        if by_inputs or "mid" in update.parts:
            return False
        dora.setdefault(layer.partition(".")[0], set()).add(scales is not None or "magnitude" in update.parts)
    return all(len(found) == 1 for found in dora.values())


def _save_lora(folder: Path, updates: Mapping[str, Update], alphas: Mapping[str, float]) -> None:
    tensors: dict[str, Tensor] = {}
    for layer, update in updates.items():
        parts = update.parts
        tensors |= {f"{layer}.lora_A.weight": parts["down"], f"{layer}.lora_B.weight": parts["up"]}
        magnitude = parts.get("magnitude", parts.get("dora_scale"))
        if magnitude is not None:
            # as peft has it: (out,), and (1, out, 1, 1) for a convolution
            shape = (-1,) if parts["up"].ndim == 2 else (1, -1, 1, 1)
            tensors[layer + MAGNITUDE] = magnitude.reshape(shape)
    note: dict[str, Any] = {}
    for component in sorted({layer.partition(".")[0] for layer in updates}):
        own = [layer for layer in updates if layer.startswith(f"{component}.")]
        ranks = {layer: updates[layer].parts["down"].shape[0] for layer in own}
        plain = {layer: _plain(alphas[layer]) for layer in own}
        for key, pattern, values in (("r", "rank_pattern", ranks), ("lora_alpha", "alpha_pattern", plain)):
            usual = Counter(values.values()).most_common(1)[0][0]
            note[f"{component}.{key}"] = usual
            note[f"{component}.{pattern}"] = {
                layer.partition(".")[2]: value for layer, value in values.items() if value != usual
            }
    header = {"format": "pt", HEADER_KEY: json.dumps(note, indent=2, sort_keys=True)}
    save_tensors(folder / LORA_WEIGHTS, tensors, header)


def _plain(number: float) -> float:
    return int(number) if number == int(number) else number
