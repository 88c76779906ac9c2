"""What is written about images: the field `captions` of an image set."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from src.core.errors import CaptionError
from src.core.files import sha256_bytes
from src.data.caption_file import ENDING, match_captions, read_captions

WORD = re.compile(r"[^\W\d_]+")
# the most frequent words of a set's captions are one piece each, in seconds; a minute would give five times as many
VOCABULARY = 2000
SHOWN_PROBLEMS = 10


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


class WrittenCaptions:
    """Texts that people wrote, one about each image; see Captions.

    Args:
        texts: Of the images.
        labels: The class number of each.
    """

    def __init__(self, texts: Sequence[str], labels: Sequence[int]) -> None:
        self.texts, self.labels = list(texts), list(labels)
        found = Counter(word for text in texts for word in WORD.findall(text.lower()))
        self.words = sorted(sorted(found), key=found.__getitem__, reverse=True)[:VOCABULARY]

    def text(self, row: int, seed: int) -> str:  # noqa: ARG002
        """Returns the text about an image."""
        return self.texts[row]

    def showcase(self, classes: list[str], count: int) -> dict[str, list[str]]:
        """Returns the first texts of each class, over and over where it has fewer."""
        shown = {}
        for label, name in enumerate(classes):
            of_class = [text for text, other in zip(self.texts, self.labels, strict=True) if other == label]
            different = list(dict.fromkeys(of_class))
            if different:
                shown[name] = [different[item % len(different)] for item in range(count)]
        return shown

    def digest(self) -> str:
        """Names the texts."""
        return sha256_bytes(json.dumps(self.texts).encode())


def read_written(root: Path, images: Sequence[Path]) -> list[str]:
    """Reads what people wrote about images, in the formats of the photos' captions (docs/data.md).

    Args:
        root: The folder that holds them all.
        images: All images in it, or in folders inside of it.

    Returns:
        A text for each image.

    Raises:
        CaptionError: An image has none, or a caption fits no image; all such are listed.
    """
    folders = sorted({root, *(path.parent for path in images)})
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix.lower() == ENDING]
    sources = [path.relative_to(root).as_posix() for path in images]
    written = read_captions(root, [path.relative_to(root).as_posix() for path in files])
    found = match_captions(written, {source: source for source in sources})
    missing = [source for source in sources if source not in found or not found[source].text]
    if missing:
        how = "expected `file|caption` lines in captions.txt, or a text file of each image's name beside it"
        more = [f"and {len(missing) - SHOWN_PROBLEMS} more"] if len(missing) > SHOWN_PROBLEMS else []
        named = ", ".join([*missing[:SHOWN_PROBLEMS], *more])
        raise CaptionError(f"{root}: {len(missing)} of {len(sources)} images have no caption: {named}; {how}")
    return [found[source].text for source in sources]
