"""What a way of personalising a base model is to the rest of the pipeline."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from src.models.base import BaseModel


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate.

    Attributes:
        name: The part that they belong to: ``unet``, ``transformer`` or ``text_encoder``.
        parameters: By full name, in a fixed order; all float32.
        lr: The learning rate; None for the run's own.
        lr_share: What the run's own is multiplied with.
    """

    name: str
    parameters: dict[str, torch.nn.Parameter]
    lr: float | None
    lr_share: float = 1.0


class Method(Protocol):
    """How training changes a base model; built from configs/method."""

    @property
    def trains_text(self) -> bool:
        """Whether captions have to be encoded anew in every step."""
        ...

    @property
    def needs_fp32(self) -> bool:
        """Whether the base has to be kept in float32."""
        ...

    @property
    def quantized_bases(self) -> tuple[str, ...]:
        """Over which kinds of quantised denoisers, of QUANTIZED, it computes what it does over plain ones."""
        ...

    def attach(self, model: BaseModel, seed: int) -> list[ParameterGroup]:
        """Adds what trains; the model's output does not change yet.

        Args:
            model: The frozen base.
            seed: Of the initial weights.

        Returns:
            What trains, the denoiser's part first.

        Raises:
            ConfigError: The base has no such layers.
        """
        ...

    def only_part(self, model: BaseModel, part: str | None) -> AbstractContextManager[None]:
        """Switches off what was attached to every part but one, to see what each contributes.

        Args:
            model: A base with the method attached.
            part: The name of a group; None switches all off.

        Returns:
            A context in which the others are off.
        """
        ...

    def save(self, model: BaseModel, folder: Path) -> None:
        """Writes what was trained; the same weights give the same bytes.

        Args:
            model: A base with the method attached.
            folder: Where to; made when missing.
        """
        ...

    def start(self, model: BaseModel, folder: Path) -> None:
        """Gives what was freshly attached the values of a saved checkpoint, to go on training from.

        Args:
            model: A base with the method attached.
            folder: A checkpoint folder.

        Raises:
            ModelMismatchError: The file is missing or damaged, or was made with other settings.
        """
        ...


class AdapterFormat(Protocol):
    """What checkpoints of a kind are on disk, and how they come back onto a base model."""

    @property
    def files(self) -> tuple[str, ...]:
        """What a checkpoint folder holds besides its config.yaml; the first file tells the format."""
        ...

    def check_file(self, folder: Path) -> None:
        """Reads a checkpoint before any model is loaded.

        Args:
            folder: A checkpoint folder.

        Raises:
            ModelMismatchError: The file is missing, damaged or far too large.
        """
        ...

    def check_fit(self, model: BaseModel, folder: Path) -> None:
        """Compares a checkpoint with a base.

        Args:
            model: The base.
            folder: A checkpoint folder.

        Raises:
            ModelMismatchError: It was made for another base.
        """
        ...

    def applied(self, model: BaseModel, folder: Path) -> AbstractContextManager[None]:
        """Puts a checkpoint on a base for inference.

        Args:
            model: The base.
            folder: A checkpoint folder.

        Returns:
            A context, after which the base's weights are what they were, to the last bit.

        Raises:
            ModelMismatchError: The file is damaged, or was made for another base.
        """
        ...

    def changes(self, model: BaseModel, folder: Path) -> dict[str, Tensor]:
        """Returns what a checkpoint adds to the base's weights; the base stays as it is.

        Args:
            model: The base, without an adapter.
            folder: A checkpoint folder.

        Returns:
            Float32 tensors by component and parameter, for example ``unet.conv_in.weight``; none where a checkpoint
            adds words, or layers that listen to the timestep.

        Raises:
            ModelMismatchError: As of `applied`.
        """
        ...


def is_target(layer: str, suffixes: Sequence[str]) -> bool:
    """Says whether a layer's dotted name ends with one of some suffixes, as `target_modules` means them."""
    return f".{layer}".endswith(tuple(f".{suffix}" for suffix in suffixes))


def trained_weights(groups: Sequence[ParameterGroup]) -> dict[str, Tensor]:
    """Copies the trained weights, by full name, to the CPU."""
    return {name: p.detach().cpu().clone() for group in groups for name, p in group.parameters.items()}
