"""Whether an adapter can be of a base model, told from its file and the base's settings before any weight is loaded."""

import json
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from src.core.errors import ModelMismatchError
from src.methods import lora_files, textual_inversion, weight_updates
from src.methods.files import read_tensors

# what reads the text: as wide as the text encoders together, and so 768, 1024 or 2048 for SD 1.x, SD 2.x and SDXL
READS_TEXT = re.compile(r"unet\..*attn2\.to_[kv]\.(?:lora_A\.weight|down|hada_w1_b)")


def check_base_of(folder: Path, base: Path) -> None:
    """Refuses an adapter that was trained on another architecture.

    Args:
        folder: A checkpoint folder.
        base: The base model's folder, or that of its settings.

    Raises:
        ModelMismatchError: It adapts a part that the base does not have, or is of a text encoder of another width.
    """
    for module in (lora_files, weight_updates):
        if (folder / module.WEIGHTS).is_file():
            _check_parts(folder, base, read_tensors(folder, module.WEIGHTS)[0])
    if (folder / textual_inversion.WEIGHTS).is_file():
        _, vectors = textual_inversion.read_file(folder)
        names = textual_inversion.SEVERAL if set(vectors) == set(textual_inversion.SEVERAL) else sorted(vectors)
        found = [vectors[name].shape[1] for name in names]
        if found != (wanted := [_setting(base / part, "hidden_size") for part in _encoders(base)]):
            raise ModelMismatchError(
                f"{folder.name}: vectors of {_and(found)} numbers, and the text encoders of {base.name} have "
                f"{_and(wanted)}; it was trained on another base model"
            )


def _check_parts(folder: Path, base: Path, tensors: dict[str, Tensor]) -> None:
    parts = json.loads((base / "model_index.json").read_text(encoding="utf-8"))
    width = _setting(base / "unet", "cross_attention_dim")
    for name, tensor in tensors.items():
        component = name.partition(".")[0]
        if component not in parts:
            kind = parts.get("_class_name", "no pipeline")
            raise ModelMismatchError(
                f"{folder.name}: adapts a {component}, as {name[:200]!r}, and {base.name} is a {kind} without one; "
                "it was trained on another base model"
            )
        if READS_TEXT.fullmatch(name) and type(width) is int and tensor.shape[-1] != width:
            raise ModelMismatchError(
                f"{folder.name}: {name[:200]!r} reads texts {tensor.shape[-1]} wide, the UNet of {base.name} {width}; "
                "it was trained on another base model"
            )


def _encoders(base: Path) -> list[str]:
    """Lists the base's CLIP text encoders."""
    parts = json.loads((base / "model_index.json").read_text(encoding="utf-8"))
    return sorted(
        part for part, kind in parts.items() if isinstance(kind, list) and str(kind[-1]).startswith("CLIPText")
    )


def _setting(part: Path, key: str) -> Any:
    file = part / "config.json"
    return json.loads(file.read_text(encoding="utf-8")).get(key) if file.is_file() else None


def _and(numbers: list[Any]) -> str:
    return " and ".join(map(str, numbers))
