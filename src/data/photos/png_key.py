"""Applies the transparent key of a PNG (tRNS) to samples of 2, 4 and 16 bits, whose key Pillow takes for one of 8."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from src.core.errors import BadPhotoError
from src.data.photos.colour import SIXTEEN_BIT_GREY, to_8_bit

# of the chunk IHDR, which comes first
BIT_DEPTH_AT = 24


def apply_key(image: PngImageFile, path: Path) -> Image.Image:
    """Makes the samples that equal the key transparent.

    Args:
        image: A decoded PNG.
        path: Its file.

    Returns:
        LA or RGBA where the key needs the samples as they are stored; else the picture itself, with a key of 8 bits.

    Raises:
        BadPhotoError: OpenCV does not decode it.
    """
    key = image.info.get("transparency")
    if isinstance(key, bytes) or key is None:  # a palette's
        return image
    with path.open("rb") as stream:
        bits = stream.read(BIT_DEPTH_AT + 1)[BIT_DEPTH_AT]
    if image.mode in SIXTEEN_BIT_GREY:
        samples = np.asarray(image)
        return Image.merge(
            "LA", (to_8_bit(samples, 16, "L"), Image.fromarray(np.where(samples == key, 0, 255).astype(np.uint8)))
        )
    if image.mode == "RGB" and bits == 16:
        stored = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
        if stored is None:
            raise BadPhotoError("cannot be decoded: its header or pixel data is damaged")
        return to_8_bit(np.asarray(stored, dtype=np.uint16)[..., [2, 1, 0, 3]], 16, "RGBA")
    if image.mode == "L" and bits < 8:
        image.info["transparency"] = key * (255 // (2**bits - 1))
    return image
