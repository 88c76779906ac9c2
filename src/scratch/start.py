"""Lets a training begin with what an earlier one made."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.core.errors import MissingModelError, ModelMismatchError


def load_start(folder: Path, networks: Mapping[str, Any]) -> None:
    """Loads saved networks, in whatever precision, into fresh ones.

    Args:
        folder: A saved model; each network is in a sub-folder of its name, as diffusers lays them.
        networks: Of diffusers or transformers, by name; changed in place.

    Raises:
        MissingModelError: A network is not there.
        ModelMismatchError: A network has other weights.
    """
    for name, network in networks.items():
        if not (folder / name / "config.json").is_file():
            raise MissingModelError(f"task.start={folder}: no {name} there; expected a model that train.py saved")
        saved = type(network).from_pretrained(folder / name, local_files_only=True, use_safetensors=True)
        try:
            network.load_state_dict(saved.float().state_dict())
        except RuntimeError as error:
            raise ModelMismatchError(
                f"task.start={folder}: its {name} is of another size: {str(error).splitlines()[0]}"
            ) from error
