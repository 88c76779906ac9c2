"""What an adapter's file says of itself, taken as data: rank and alpha are read, everything else follows from tensors.

diffusers passes the header on to `LoraConfig(**...)`, where a file that somebody sends could name patterns that never
end, layers to replace, or weights to fetch.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from src.core.errors import ModelMismatchError

FACTOR = re.compile(r"(?P<layer>.+)\.(?:lora_(?P<new>[AB])|lora(?:_linear_layer)?\.(?P<old>down|up))\.weight")
MAGNITUDE = ".lora_magnitude_vector"
HEADER_KEY = "lora_adapter_metadata"
MAX_NOTE_CHARACTERS = 1 << 16
MAX_ALPHA = 1e6


def recorded_numbers(path: Path | str, metadata: Mapping[str, str], key: str) -> dict[str, float]:
    """Reads one setting of every component from a file's metadata.

    Args:
        path: For the message.
        metadata: Of the safetensors header.
        key: ``r`` or ``lora_alpha``.

    Returns:
        Numbers above 0, by component, as the file has them: whole or not.

    Raises:
        ModelMismatchError: The note is no JSON mapping, or the value is no such number.
    """
    note = metadata.get(HEADER_KEY, "{}")
    try:
        content = json.loads(note) if len(note) <= MAX_NOTE_CHARACTERS else None
    except (ValueError, RecursionError) as error:
        raise ModelMismatchError(f"{path}: {HEADER_KEY} in the header is no JSON") from error
    if not isinstance(content, dict):
        raise ModelMismatchError(f"{path}: {HEADER_KEY} in the header is no mapping of at most 64 KiB")
    numbers: dict[str, float] = {}
    for name, value in content.items():
        component, _, setting = name.rpartition(".")
        if setting != key or value is None:
            continue
        if type(value) not in (int, float) or not (math.isfinite(value) and 0 < value <= MAX_ALPHA):
            raise ModelMismatchError(f"{path}: {component}.{key} is {str(value)[:80]!r}: expected a number above 0")
        numbers[component] = value
    return numbers


def lora_settings(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Makes peft's settings from an adapter's tensors and its alpha.

    Args:
        path: For the message.
        tensors: By peft's names, ``component.layer.lora_A.weight``.
        metadata: Of the safetensors header.

    Returns:
        Arguments of LoraConfig, by component.

    Raises:
        ModelMismatchError: The header names no alpha or another rank, or a component's layers differ in rank.
    """
    alphas, noted = (recorded_numbers(path, metadata, key) for key in ("lora_alpha", "r"))
    layers: dict[str, dict[str, int]] = {}
    for name, tensor in tensors.items():
        match = FACTOR.fullmatch(name)
        if match and match["new"] == "B":
            component, _, layer = match["layer"].partition(".")
            layers.setdefault(component, {})[layer] = tensor.shape[1]
    settings: dict[str, dict[str, Any]] = {}
    for component, ranks in layers.items():
        if len(set(ranks.values())) > 1 or noted.get(component, ranks[min(ranks)]) != ranks[min(ranks)]:
            found = ", ".join(map(str, sorted(set(ranks.values()))))
            raise ModelMismatchError(
                f"{path}: {component} has layers of rank {found} and the header says {noted.get(component)}; "
                "expected one rank"
            )
        if component not in alphas:
            raise ModelMismatchError(f"{path}: the header names no alpha of {component}")
        settings[component] = {
            "r": ranks[min(ranks)],
            "lora_alpha": alphas[component],
            "target_modules": sorted(ranks),
            "use_dora": any(name.startswith(f"{component}.") and name.endswith(MAGNITUDE) for name in tensors),
        }
    return settings
