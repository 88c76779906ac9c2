"""Reads what peft writes beside an adapter's tensors, which somebody else may have sent."""

import json
from pathlib import Path
from typing import Any

from src.core.errors import ModelMismatchError
from src.core.files import has_file

MAX_SETTINGS_BYTES = 1 << 16


def read_settings(path: Path) -> dict[str, Any]:
    """Reads the settings of a saved adapter of peft.

    Args:
        path: Of adapter_config.json.

    Returns:
        What it holds, as data.

    Raises:
        ModelMismatchError: It is missing, far too large, or no JSON mapping.
    """
    if not has_file(path):
        raise ModelMismatchError(f"{path.parent}: expected a checkpoint with {path.name}")
    if path.stat().st_size > MAX_SETTINGS_BYTES:
        raise ModelMismatchError(f"{path}: over {MAX_SETTINGS_BYTES >> 10} KiB; expected the settings of an adapter")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelMismatchError(f"{path}: no JSON") from error
    if not isinstance(content, dict):
        raise ModelMismatchError(f"{path}: no JSON mapping")
    return content
