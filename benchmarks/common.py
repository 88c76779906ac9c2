"""What the benchmarks share: a tiny project in a temporary folder, and timing in turns."""

import os
import platform
import time
from collections.abc import Callable
from typing import NamedTuple

import torch


def machine() -> str:
    """Returns one line about the machine."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    threads = torch.get_num_threads()
    return (
        f"{os.cpu_count()} cores ({platform.machine()}, {threads} torch threads), {device}, torch {torch.__version__}"
    )


def seconds(work: Callable[[], object]) -> float:
    """Returns the wall time of one call."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


class Timing(NamedTuple):
    """Median seconds of two ways, and how many times as fast the first is: median, least, most."""

    ours: float
    other: float
    ratio: float
    low: float
    high: float


def time_in_turns(ours: Callable[[], object], other: Callable[[], object], turns: int) -> Timing:
    """Times two ways in turn, A B A B, after one warm-up each.

    Args:
        ours: The project's way.
        other: The way it is compared with.
        turns: How often each is timed.

    Returns:
        The medians; ratios are those of pairs.
    """
    seconds(ours), seconds(other)
    pairs = [(seconds(ours), seconds(other)) for _ in range(turns)]
    ratios = sorted(b / a for a, b in pairs)
    ours_s, other_s = (sorted(column)[turns // 2] for column in zip(*pairs, strict=True))
    return Timing(ours_s, other_s, ratios[turns // 2], ratios[0], ratios[-1])


def compare(name: str, ours: Callable[[], object], other: Callable[[], object], other_name: str, turns: int) -> None:
    """Prints how many times as fast one way is as another.

    Args:
        name: What is compared.
        ours: The project's way.
        other: The way it is compared with.
        other_name: Its name.
        turns: How often each is timed.
    """
    found = time_in_turns(ours, other, turns)
    print(
        f"{name}: {found.ratio:.2f} times as fast as {other_name} (median of {turns}, {found.low:.2f} to "
        f"{found.high:.2f}; {found.ours:.3f} s against {found.other:.3f} s)",
        flush=True,
    )
