"""What a look at photos and captions before the training finds."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "outlier",
    "strange_face",
    "several_faces",
    "blurred",
    "small",
    "upscaled",
    "crop",
    "duplicates",
    "empty_caption",
    "same_caption",
    "repeated_word",
    "no_background",
]


@dataclass(frozen=True)
class Finding:
    """One thing that may be wrong.

    Attributes:
        kind: What.
        images: The photos' image_ids; none where it is about all captions together.
        figure: What was measured.
        threshold: What it was compared with.
        detail: Words of the photos' own: a caption, repeated words, the cropper's warning; may be empty.
    """

    kind: Kind
    images: tuple[str, ...]
    figure: float
    threshold: float
    detail: str = ""


@dataclass(frozen=True)
class Unchecked:
    """Something that was not looked for.

    Attributes:
        kind: What.
        why: A key of the page's words: ``few``, ``off``, ``no_mask`` or ``failed``.
        detail: A number, or what an error said.
    """

    kind: Kind
    why: Literal["few", "off", "no_mask", "failed"]
    detail: str = ""
