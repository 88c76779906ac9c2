"""Chooses the device and the precision a stage computes in."""

import platform
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from src.core.errors import ConfigError

if TYPE_CHECKING:
    import torch


def choose_device(wanted: str | None) -> "torch.device":
    """Returns the device asked for, or CUDA where there is one, else the CPU; Apple's GPU only where it is asked for.

    Args:
        wanted: ``cuda``, ``mps``, ``cpu`` or None.

    Returns:
        The device.

    Raises:
        ConfigError: It is something else, or a GPU is asked for and not there.
    """
    if wanted not in (None, "cuda", "mps", "cpu"):
        raise ConfigError(f"device={wanted!r}: expected null, cuda, mps or cpu")
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device=cuda, but torch sees no CUDA device")
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device=mps, but torch sees no GPU of Apple's")
    return torch.device(wanted or ("cuda" if torch.cuda.is_available() else "cpu"))


def choose_precision(wanted: str, device: "torch.device") -> str:
    """Returns the precision asked for; ``auto`` is bf16 where the device computes in it, else no.

    A processor without bf16 instructions converts every number and is ten times as slow as in float32.

    Args:
        wanted: ``auto``, ``no`` or ``bf16``.
        device: Where the networks are.

    Returns:
        ``no`` or ``bf16``.

    Raises:
        ConfigError: It is something else.
    """
    import torch

    if wanted not in ("auto", "no", "bf16"):
        raise ConfigError(f"train.mixed_precision={wanted}: expected auto, no or bf16")
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
    return "bf16" if fast else "no"


def autocast(precision: str, device: "torch.device") -> AbstractContextManager[object]:
    """Returns the context in which networks run forward in a precision, ``no`` or ``bf16``."""
    import torch

    return nullcontext() if precision == "no" else torch.autocast(device.type, dtype=torch.bfloat16)


def describe_device(device: "torch.device") -> str:
    """Returns a GPU's name, or a processor's with its vector instructions and the threads in use."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    processor = torch.cpu.get_capabilities().get("cpu_name") or platform.machine()
    return f"{processor}, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"
