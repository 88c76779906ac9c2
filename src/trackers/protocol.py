"""What a run tells its trackers (`Tracker`), and what one service must offer (`Service`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from src.core.errors import TrackerError

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image


# what a service is known to raise; anything else is a bug, which still ends only the service's thread or process
KNOWN_FAILURES = (TrackerError, OSError, ValueError, RuntimeError)


class Reporter(Protocol):
    """The reports common to a run's view and to a service."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Reports numbers at a step; a name such as ``train/loss`` is a group and a curve."""

    def images(self, step: int, name: str, images: Sequence["Image.Image"], captions: Sequence[str]) -> None:
        """Reports sRGB images at a step, each with its caption."""

    def table(self, name: str, frame: "pd.DataFrame") -> None:
        """Reports a table."""

    def artifact(self, name: str, path: Path) -> None:
        """Reports a file or folder that the run has written."""

    def config(self, values: Mapping[str, Any]) -> None:
        """Reports the configuration: a nested mapping of plain values, without secrets."""


class Tracker(Reporter, Protocol):
    """A run's view: no call blocks, fails or costs the run."""

    def close(self, deadline_s: float) -> None:
        """Sends what is left and ends, after `deadline_s` seconds at the latest."""


class Service(Reporter, Protocol):
    """One service. Building it does nothing, `start` opens it; all other calls come from one thread."""

    name: str
    # whether the client talks to a server; such a client gets a process of its own
    remote: bool

    def start(self, run_name: str, first_step: int) -> None:
        """Opens the run or raises TrackerError within seconds; steps from `first_step` on are (re)written."""

    def close(self) -> None:
        """Sends what is left and ends; may hang, for the caller holds the deadline."""


def label_images(captions: Sequence[str]) -> list[str]:
    """Returns a distinct name for each caption of one report, in order: ``00 a toy``, ``01 a toy``."""
    return [f"{index:02d} {caption}" for index, caption in enumerate(captions)]


def split_name(name: str) -> tuple[str, str]:
    """Splits ``train/loss/unet`` into the group ``train`` and the curve ``loss/unet``; without a slash both are it."""
    group, _, curve = name.partition("/")
    return group, curve or group


def describe_failure(error: Exception) -> str:
    """Returns one line; a TrackerError's message as it is, anything else with its type."""
    text = str(error) if isinstance(error, TrackerError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())
