"""The table of what checkpoints can be: a format is chosen by the files that a checkpoint folder holds."""

from pathlib import Path

from src.core.errors import ModelMismatchError
from src.core.files import has_file
from src.methods.base import AdapterFormat
from src.methods.combined import CombinedFormat
from src.methods.lora import LoraFormat
from src.methods.own_weights import OwnWeightsFormat
from src.methods.t_lora import TLoraFormat
from src.methods.textual_inversion import TextualInversionFormat
from src.methods.tuner import TunerFormat
from src.methods.weight_updates import WeightUpdatesFormat

FORMATS: tuple[AdapterFormat, ...] = (
    LoraFormat(),
    TLoraFormat(),
    TunerFormat(),
    OwnWeightsFormat(),
    WeightUpdatesFormat(),
    TextualInversionFormat(),
)


def find_format(folder: Path) -> AdapterFormat | None:
    """Tells the format of a checkpoint folder.

    Args:
        folder: Perhaps a checkpoint.

    Returns:
        None if it holds no checkpoint.

    Raises:
        ModelMismatchError: It holds two that exclude each other.
    """
    found = [entry for entry in FORMATS if has_file(folder / entry.files[0])]
    others = [entry for entry in found if not isinstance(entry, TextualInversionFormat)]
    if len(others) > 1:
        raise ModelMismatchError(f"{folder}: holds {others[0].files[0]} and {others[1].files[0]}; expected one of them")
    return CombinedFormat(found) if len(found) > 1 else next(iter(found), None)


def weights_names() -> str:
    """Returns the files by which checkpoints are known, for messages."""
    return " or ".join(entry.files[0] for entry in FORMATS)
