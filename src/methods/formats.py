"""The table of what checkpoints can be: a format is chosen by the files that a checkpoint folder holds."""

from pathlib import Path

from src.core.files import has_file
from src.methods.base import AdapterFormat
from src.methods.combined import CombinedFormat
from src.methods.lora import LoraFormat
from src.methods.own_weights import OwnWeightsFormat
from src.methods.textual_inversion import TextualInversionFormat
from src.methods.tuner import TunerFormat

FORMATS: tuple[AdapterFormat, ...] = (
    LoraFormat(),
    TunerFormat(),
    OwnWeightsFormat(),
    TextualInversionFormat(),
)


def find_format(folder: Path) -> AdapterFormat | None:
    """Returns the format of a checkpoint folder; None if it holds no checkpoint."""
    found = [entry for entry in FORMATS if has_file(folder / entry.files[0])]
    return CombinedFormat(found) if len(found) > 1 else next(iter(found), None)


def weights_names() -> str:
    """Returns the files by which checkpoints are known, for messages."""
    return " or ".join(entry.files[0] for entry in FORMATS)
