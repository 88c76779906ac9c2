"""Chooses the device a stage computes on."""

from typing import TYPE_CHECKING

from src.core.errors import ConfigError

if TYPE_CHECKING:
    import torch


def choose_device(wanted: str | None) -> "torch.device":
    """Returns the device asked for, or CUDA where there is one, else the CPU.

    Args:
        wanted: ``cuda``, ``cpu`` or None.

    Returns:
        The device.

    Raises:
        ConfigError: It is something else, or CUDA is asked for and not there.
    """
    if wanted not in (None, "cuda", "cpu"):
        raise ConfigError(f"device={wanted!r}: expected null, cuda or cpu")
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device=cuda, but torch sees no CUDA device")
    return torch.device(wanted or ("cuda" if torch.cuda.is_available() else "cpu"))
