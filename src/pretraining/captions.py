"""What is written about images: the field `captions` of an image set."""

from typing import Protocol


class Captions(Protocol):
    """Texts about the images of a set, row by row.

    Attributes:
        words: What a tokenizer is to know as one piece each; it spells everything else.
    """

    words: list[str]

    def text(self, row: int, seed: int) -> str:
        """Returns a text about an image; the seed chooses among its wordings."""
        ...

    def showcase(self, classes: list[str], count: int) -> dict[str, list[str]]:
        """Returns what to show people images of: `count` texts under each name."""
        ...

    def digest(self) -> str:
        """Names all texts."""
        ...
