"""The table of what checkpoints can be: a format is chosen by the file that a checkpoint folder holds."""

from pathlib import Path

from src.core.files import has_file
from src.methods.base import AdapterFormat
from src.methods.lora import LoraFormat

FORMATS: tuple[AdapterFormat, ...] = (LoraFormat(),)


def find_format(folder: Path) -> AdapterFormat | None:
    """Returns the format of a checkpoint folder; None if it holds no checkpoint."""
    return next((entry for entry in FORMATS if has_file(folder / entry.weights)), None)


def weights_names() -> str:
    """Returns the files by which checkpoints are known, for messages."""
    return " or ".join(entry.weights for entry in FORMATS)
