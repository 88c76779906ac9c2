"""What an adapter's file says of itself, taken as data: rank, alpha and how they scale; the rest follows from tensors.

diffusers passes the header on to `LoraConfig(**...)`, where a file that somebody sends could name patterns that never
end, layers to replace, or weights to fetch.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from src.core.errors import ModelMismatchError

FACTOR = re.compile(r"(?P<layer>.+)\.(?:lora_(?P<new>[AB])|lora(?:_linear_layer)?\.(?P<old>down|up))\.weight")
MAGNITUDE = ".lora_magnitude_vector"
# of alpha_pattern: what may be a layer's name or the end of one, and no pattern that never ends
MAX_NAME_CHARACTERS, MAX_PATTERNS = 200, 4096
NAME = re.compile(rf"(?P<whole>\^?)(?P<name>[A-Za-z0-9_.]{{1,{MAX_NAME_CHARACTERS}}})\$?")
# what older transformers had around every text encoder, and newer ones around some
WRAPPER = "text_model."
HEADER_KEY = "lora_adapter_metadata"
# of `init_lora_weights`, what leaves the base model as it is
BEGINNINGS = (None, True, False, "gaussian", "eva", "orthogonal", "mica")
# settings with which peft's layers compute something else than B A
OTHER_LAYERS = (
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "layer_replication",
    "monteclora_config",
    "use_bdlora",
    "use_qalora",
)
# SDXL's 800 layers, each with an alpha of its own
MAX_NOTE_CHARACTERS = 1 << 20
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
    numbers: dict[str, float] = {}
    for name, value in _note(path, metadata).items():
        component, _, setting = name.rpartition(".")
        if setting == key and value is not None:
            numbers[component] = _number(path, f"{component}.{key}", value)
    return numbers


def layer_alphas(path: Path | str, metadata: Mapping[str, str], ranks: Mapping[str, int]) -> dict[str, float]:
    """Reads what each layer's update is scaled by, times its rank.

    Args:
        path: For the message.
        metadata: Of the safetensors header.
        ranks: Of every layer, by component and name.

    Returns:
        Alpha by layer, also where the header says `use_rslora` or `alpha_pattern`; layers of components of which the
        header names no alpha are left out.

    Raises:
        ModelMismatchError: The note is no JSON mapping, or an alpha is no number, or is of a pattern; or a setting says
            that it is no plain LoRA.
    """
    note, alphas = _note(path, metadata), recorded_numbers(path, metadata, "lora_alpha")
    _check_plain(path, note)
    found: dict[str, float] = {}
    patterns = {component: _alpha_pattern(path, component, note) for component in alphas}
    for full, rank in ranks.items():
        component, _, layer = full.partition(".")
        if component in alphas:
            own = f"^.{layer.removeprefix(WRAPPER)}"
            last = own[-MAX_NAME_CHARACTERS - 1 :]
            ends = [own, *(last[dot.start() :] for dot in re.finditer(r"\.", last))]
            matching = (patterns[component][end] for end in ends if end in patterns[component])
            _, alpha = min(matching, default=(0, alphas[component]))
            found[full] = alpha * math.sqrt(rank) if note.get(f"{component}.use_rslora") is True else alpha
    return found


def _check_plain(path: Path | str, note: Mapping[str, Any]) -> None:
    for name, value in note.items():
        setting = name.rpartition(".")[2]
        if (setting == "init_lora_weights" and value not in BEGINNINGS) or (setting in OTHER_LAYERS and value):
            raise ModelMismatchError(f"{path}: {name} is {str(value)[:80]!r}, which cannot be honoured in a plain LoRA")


def _alpha_pattern(path: Path | str, component: str, note: Mapping[str, Any]) -> dict[str, tuple[int, float]]:
    """Returns by ends of layers' names, as of ``^.down_blocks.0``, its number, of which the lowest rules, and alpha."""
    key = f"{component}.alpha_pattern"
    pattern = note.get(key) or {}
    if not isinstance(pattern, dict):
        raise ModelMismatchError(f"{path}: {key} is no mapping")
    if len(pattern) > MAX_PATTERNS:
        raise ModelMismatchError(f"{path}: {key} has {len(pattern)} names: expected at most {MAX_PATTERNS}")
    ends: dict[str, tuple[int, float]] = {}
    for number, (name, value) in enumerate(pattern.items()):
        if (match := NAME.fullmatch(name)) is None:
            raise ModelMismatchError(f"{path}: {key} has {name[:80]!r}: expected names of layers")
        end = f"{match['whole']}.{match['name'].removeprefix(WRAPPER)}"
        ends.setdefault(end, (number, _number(path, key, value)))
    return ends


def _note(path: Path | str, metadata: Mapping[str, str]) -> dict[str, Any]:
    note = metadata.get(HEADER_KEY, "{}")
    try:
        content = json.loads(note) if len(note) <= MAX_NOTE_CHARACTERS else None
    except (ValueError, RecursionError) as error:
        raise ModelMismatchError(f"{path}: {HEADER_KEY} in the header is no JSON") from error
    if not isinstance(content, dict):
        raise ModelMismatchError(f"{path}: {HEADER_KEY} in the header is no mapping of at most 1 MiB")
    return content


def _number(path: Path | str, key: str, value: Any) -> float:
    # no `math.isfinite`, which fails on whole numbers that no float holds
    if type(value) not in (int, float) or not 0 < value <= MAX_ALPHA:
        raise ModelMismatchError(f"{path}: {key} is {str(value)[:80]!r}: expected a number above 0")
    return value


def layer_ranks(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Returns the rank of every layer, by component and name, of tensors by peft's names."""
    factors = ((FACTOR.fullmatch(name), tensor) for name, tensor in tensors.items())
    return {match["layer"]: tensor.shape[1] for match, tensor in factors if match and match["new"] == "B"}


def lora_settings(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Makes peft's settings from an adapter's tensors and its alphas.

    Args:
        path: For the message.
        tensors: By peft's names, ``component.layer.lora_A.weight``.
        metadata: Of the safetensors header.

    Returns:
        Arguments of LoraConfig, by component.

    Raises:
        ModelMismatchError: The header names no alpha, or a rank that no layer has.
    """
    ranks, noted = layer_ranks(tensors), recorded_numbers(path, metadata, "r")
    alphas = layer_alphas(path, metadata, ranks)
    settings: dict[str, dict[str, Any]] = {}
    for component in dict.fromkeys(full.partition(".")[0] for full in ranks):
        own = {full.partition(".")[2]: rank for full, rank in ranks.items() if full.startswith(f"{component}.")}
        if noted.get(component, own[min(own)]) not in own.values():
            found = ", ".join(map(str, sorted(set(own.values()))))
            raise ModelMismatchError(
                f"{path}: {component} has layers of rank {found} and the header says {noted.get(component)}"
            )
        if f"{component}.{min(own)}" not in alphas:
            raise ModelMismatchError(f"{path}: the header names no alpha of {component}")
        scales = {layer: alphas[f"{component}.{layer}"] for layer in own}
        (rank, rank_pattern), (alpha, alpha_pattern) = _usual(own), _usual(scales)
        settings[component] = {
            "r": rank,
            "lora_alpha": alpha,
            "rank_pattern": rank_pattern,
            "alpha_pattern": alpha_pattern,
            "target_modules": sorted(own),
            "use_dora": any(name.startswith(f"{component}.") and name.endswith(MAGNITUDE) for name in tensors),
        }
    return settings


def _usual(values: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Returns what most layers have, and peft's pattern of the others: one a value, as it tries each on each layer."""
    usual = Counter(values.values()).most_common(1)[0][0]
    others: dict[Any, list[str]] = {}
    for layer, value in sorted(values.items()):
        if value != usual:
            others.setdefault(value, []).append(re.escape(layer))
    return usual, {f"^(?:{'|'.join(layers)})": value for value, layers in others.items()}
