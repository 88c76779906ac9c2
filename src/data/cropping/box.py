"""The square part of a photo that is kept, and what finds it."""

from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# convert has checked every size against convert.max_megapixels
Image.MAX_IMAGE_PIXELS = None

Mask = NDArray[np.bool_]
# how warnings end of squares that were not cut around the subject, because it is not surely known
LARGEST = "kept the largest square"
# how warnings begin of crops that have more pixels than the photo there
ENLARGED = "enlarged"


@dataclass(frozen=True)
class Box:
    """A square of an upright photo; it may go beyond the photo's edges.

    Attributes:
        left: Pixels from the photo's left side.
        top: Pixels from the photo's top.
        right: Left plus side.
        bottom: Top plus side.
        warning: Why the crop may be a poor one, else empty.
        mask: Where the subject is, (rows, columns) over the whole photo, in whatever resolution; None if not known.
    """

    left: int
    top: int
    right: int
    bottom: int
    warning: str
    mask: Mask | None = field(compare=False)

    @property
    def side(self) -> int:
        """The length of a side, pixels."""
        return self.right - self.left


class Cropper(Protocol):
    """Finds the subject in a photo."""

    name: ClassVar[str]

    def find(self, image: Image.Image) -> Box:
        """Returns the square to keep of an upright RGB photo; a BadPhotoError where there is no subject."""


def square_box(centre: tuple[float, float], side: float, size: tuple[int, int], warning: str, mask: Mask | None) -> Box:
    """Fits a square into a photo, moving it inwards where it sticks out.

    Args:
        centre: The wanted centre (x, y), pixels.
        side: The wanted side, pixels; at most the photo's shorter side is given.
        size: Width and height of the photo, pixels.
        warning: Passed on.
        mask: Passed on.

    Returns:
        A square of at least one pixel, inside the photo.
    """
    pixels = min(max(round(side), 1), *size)
    left, top = (
        min(max(round(middle - pixels / 2), 0), length - pixels) for middle, length in zip(centre, size, strict=True)
    )
    return Box(left, top, left + pixels, top + pixels, warning, mask)


class CentreCropper:
    """Keeps the largest square in the middle."""

    name = "centre"

    def find(self, image: Image.Image) -> Box:
        """Returns the largest centred square of the photo."""
        return square_box((image.width / 2, image.height / 2), min(image.size), image.size, "", None)
