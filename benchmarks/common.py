"""What the benchmarks share: a tiny project in a temporary folder, and timing in turns."""

import os
import platform
import time
from collections.abc import Callable

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


def compare(name: str, ours: Callable[[], object], other: Callable[[], object], other_name: str, turns: int) -> None:
    """Times two ways in turn, A B A B, after one warm-up each, and prints the median ratio.

    Args:
        name: What is compared.
        ours: The project's way.
        other: The way it is compared with.
        other_name: Its name.
        turns: How often each is timed.
    """
    seconds(ours), seconds(other)
    pairs = [(seconds(ours), seconds(other)) for _ in range(turns)]
    ratios = sorted(b / a for a, b in pairs)
    ours_s, other_s = (sorted(column)[turns // 2] for column in zip(*pairs, strict=True))
    print(
        f"{name}: {ratios[turns // 2]:.2f} times as fast as {other_name} "
        f"(median of {turns}, {ratios[0]:.2f} to {ratios[-1]:.2f}; {ours_s:.3f} s against {other_s:.3f} s)",
        flush=True,
    )
