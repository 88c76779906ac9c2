"""When and by which camera a photo was taken, as its EXIF says."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from PIL import Image

from src.data.photos.header import DECODE_ERRORS

# EXIF 2.32: tags of the main block, and of the block that EXIF_BLOCK points to.
MAKE, MODEL, EXIF_BLOCK = 0x010F, 0x0110, 0x8769
TAKEN, TAKEN_FRACTION, SERIAL = 0x9003, 0x9291, 0xA431
DIGITS = 8


@dataclass(frozen=True)
class Capture:
    """Both empty where the file does not say.

    Attributes:
        taken: ISO 8601, the camera's own clock, to the millisecond where it counts them.
        camera: Equal for photos of one camera; no name can be read from it.
    """

    taken: str = ""
    camera: str = ""


def read_capture(exif: bytes) -> Capture:
    """Reads an EXIF block.

    Args:
        exif: The block, with or without ``Exif`` in front; may be empty or malformed.

    Returns:
        What it says.
    """
    try:
        block = Image.Exif()
        block.load(exif)
        inner = block.get_ifd(EXIF_BLOCK)
        maker = "\0".join(str(value).strip("\0 ") for value in (block.get(MAKE, ""), block.get(MODEL, "")))
        serial = str(inner.get(SERIAL, "")).strip("\0 ")
        taken = datetime.strptime(str(inner.get(TAKEN, "")).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except DECODE_ERRORS:
        return Capture()
    fraction = str(inner.get(TAKEN_FRACTION, "")).strip("\0 ")
    if fraction.isdecimal():
        taken = taken.replace(microsecond=int(fraction[:3].ljust(3, "0")) * 1000)
    camera = hashlib.sha256(f"{maker}\0{serial}".encode()).hexdigest()[:DIGITS] if maker.strip("\0") else ""
    return Capture(taken.isoformat(timespec="milliseconds" if fraction.isdecimal() else "seconds"), camera)
