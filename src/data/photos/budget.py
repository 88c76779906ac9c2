"""Bounds the memory of photos that are decoded side by side."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class PixelBudget:
    """Lets threads decode as long as their photos together stay under a number of pixels; one alone always may.

    Args:
        pixels: The sum that is allowed at one time.
    """

    def __init__(self, pixels: float) -> None:
        self._free = pixels
        self._total = pixels
        self._changed = Condition()

    @contextmanager
    def claim(self, pixels: int) -> Iterator[None]:
        """Waits until there is room, and takes it while the block runs.

        Args:
            pixels: What the photo needs.

        Yields:
            Nothing.
        """
        wanted = min(pixels, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= wanted)
            self._free -= wanted
        try:
            yield
        finally:
            with self._changed:
                self._free += wanted
                self._changed.notify_all()
