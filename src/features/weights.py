"""Finds a metric model's weight file and loads it into a model, whole or not at all."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from src.core.errors import ConfigError, MissingModelError, ModelMismatchError
from src.core.files import sha256_file
from src.core.places import place_name
from src.core.weights import find_weight_file

DOWNLOADING_SCHEMES = ("hf-hub:", "hf_hub:")


@dataclass(frozen=True)
class WeightFile:
    """Where a metric model's weights are and what they must be.

    Attributes:
        id: A folder on this machine or a hub id.
        revision: The pinned commit on the hub; None for a folder.
        file: The file's name inside the model.
        sha256: The expected content hash; None if it is not known.
        url: Where a person can download the file; None if the hub id says so.
    """

    id: str
    revision: str | None
    file: str
    sha256: str | None
    url: str | None

    def find(self) -> Path:
        """Returns the file after checking its hash.

        Returns:
            An existing file.

        Raises:
            MissingModelError: It is not on this machine.
            ModelMismatchError: It has another hash.
        """
        try:
            return find_weight_file(self.id, self.revision, self.file, self.sha256)
        except MissingModelError as error:
            if self.url is None:
                raise
            raise MissingModelError(
                f"{self.id}/{self.file} is missing: `python -m src.commands.fetch` with the same overrides "
                f"downloads it from {self.url}"
            ) from error

    def describe(self) -> dict[str, str | None]:
        """Returns what the scores' provenance says, with the hash that the file really has."""
        return {
            "id": place_name(self.id),
            "revision": self.revision,
            "file": self.file,
            "sha256": sha256_file(self.find()),
        }


def read_state(path: Path) -> dict[str, Tensor]:
    """Reads a safetensors file, or a PyTorch file without running any code in it, onto the CPU.

    Args:
        path: The file.

    Returns:
        Tensors by name.

    Raises:
        ModelMismatchError: The file is damaged.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (SafetensorError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ModelMismatchError(
            f"{path}: not a whole weight file: {str(error).splitlines()[0].split('. ')[0]}"
        ) from error


def load_strictly(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Loads weights into a model; every tensor must match.

    Args:
        model: Gets the weights.
        state: Tensors by name.
        path: Where they come from, for the message.

    Raises:
        ModelMismatchError: A tensor is missing, unexpected or of another shape.
    """
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ModelMismatchError(f"{path}: {error}") from error


def freeze(model: nn.Module, device: str) -> nn.Module:
    """Returns the model in fp32, in evaluation mode, without gradients, on `device`."""
    return model.float().eval().requires_grad_(False).to(device)


def check_architecture(name: str) -> None:
    """Refuses architecture names that would make a library download.

    Args:
        name: An architecture of open_clip or timm, or ``local-dir:`` and a folder.

    Raises:
        ConfigError: The name starts with a downloading scheme.
    """
    if name.startswith(DOWNLOADING_SCHEMES):
        raise ConfigError(f"architecture={name!r} would download; expected a name, or local-dir: and a folder")
