"""Shows how far a stage is: count, rate and time left, as a bar on a terminal and as plain lines elsewhere."""

import sys
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

from tqdm import tqdm

T = TypeVar("T")
LINES_EVERY_S = 10.0
FORMAT = "{desc}: {n_fmt} of {total_fmt}, {rate_noinv_fmt}, {remaining} left"


class _Lines:
    """A stream that makes a line of its own of each state of a bar."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        if state := text.strip("\r\n "):
            self._stream.write(f"{state}\n")

    def flush(self) -> None:
        self._stream.flush()


def follow(items: Iterable[T], total: int, what: str, unit: str = "photos", done: int = 0) -> Iterator[T]:
    """Yields the items and shows how many are done, how fast, and how long the rest takes.

    Args:
        items: In order.
        total: How many there are.
        what: The stage.
        unit: What is counted.
        done: How many of them were there before, as of a run that goes on.

    Yields:
        Each item.
    """
    if sys.stderr.isatty():
        yield from tqdm(items, desc=what, total=total, unit=f" {unit}", initial=done)
    else:
        lines = {"file": _Lines(sys.stdout), "bar_format": FORMAT, "ascii": True}
        every = {"mininterval": LINES_EVERY_S, "delay": LINES_EVERY_S, "miniters": 1}
        yield from tqdm(items, desc=what, total=total, unit=f" {unit}", initial=done, **lines, **every)


def say(text: str) -> None:
    """Prints a line at once, above the bar where there is one."""
    with tqdm.external_write_mode():
        print(text, flush=True)
