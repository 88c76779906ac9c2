"""Tells a photo's format by its content, and its size without decoding it."""

import errno
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL.AvifImagePlugin import AvifImageFile
from PIL.Image import DecompressionBombError
from PIL.ImageCms import PyCMSError
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from src.core.errors import BadPhotoError
from src.core.printable import printable
from src.data.photos.heif_boxes import Layout, read_layout
from src.data.photos.listing import FORMATS

# What Pillow, libheif and littlecms raise on a broken file, and what hostile sizes and depths end in.
DECODE_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    DecompressionBombError,
    PyCMSError,
    struct.error,
    zlib.error,
)
# What speaks of the disk or the machine, not of one photo: EINVAL, say, is a header's offset beyond all files.
DISK_ERRNOS = frozenset(
    getattr(errno, name)
    for name in ("EIO", "ENOSPC", "EDQUOT", "EROFS", "EMFILE", "ENFILE", "ESTALE", "ENODEV", "ENXIO")
    if hasattr(errno, name)
)
# What libraries say, in words of people who take photos; the first that fits counts.
PLAIN_WORDS = tuple(
    (re.compile(pattern, re.IGNORECASE), plain)
    for pattern, plain in (
        (r"no or invalid primary item|no 'meta' box|no .*pitm", "an image sequence without a still picture"),
        (r"'?pitm'? box|item ID referenced", "its header names a picture that is not there"),
        (r"memory|security limit|exceeds .*limit", "takes more memory than a photo of its size may"),
        (
            r"truncated|end of (file|data)|not enough|premature|unexpectedly short|buffer is not large",
            "the file ends too early",
        ),
        (
            r"unsupported|not supported|unknown (compression|pixel|data)|no decoder|codec",
            "coded in a way that cannot be read here",
        ),
        (
            r"cannot identify|not a |invalid|broken|unrecogni[sz]ed|bad |could not|decoder error|unpack|range|overflow",
            "its header or pixel data is damaged",
        ),
    )
)
# The classes themselves: what a file is was decided by its content, and no plugin has to be registered.
OPENERS: dict[str, Callable[[Path], ImageFile]] = {
    "AVIF": AvifImageFile,
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "TIFF": TiffImageFile,
    "WEBP": WebPImageFile,
}
STRANGERS = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a zip archive: unpack it"),
    (b"FUJIFILMCCD-RAW", "a camera's raw file"),
    (b"\0\x05\x16\x07", "an AppleDouble file"),
    (b"8BPS", "a Photoshop file"),
)
PICTURE_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2", b"mif3", b"miaf", b"avif"))
SEQUENCE_BRANDS = frozenset((b"hevc", b"hevx", b"hevm", b"hevs", b"msf1", b"avis"))
RAW_BRANDS = frozenset((b"crx ",))
DNG_VERSION, NEW_SUBFILE_TYPE = 50706, 254


@dataclass(frozen=True)
class Header:
    """What is known of a photo before it is decoded; `size` is as stored, `layout` belongs to HEIF and AVIF."""

    format: str
    size: tuple[int, int]
    layout: Layout | None


def read_header(path: Path) -> Header:
    """Reads as little of a file as tells what it is.

    Args:
        path: A regular file.

    Returns:
        The format (HEIC, HEIF, AVIF, JPEG, MPO, PNG, TIFF, WEBP) and the stored size in pixels.

    Raises:
        BadPhotoError: It is empty, no photo in a known format, or its header is broken.
        OSError: The disk fails.
    """
    with path.open("rb") as stream:
        start = stream.read(4096)
    family = sniff(start)
    layout = None
    if family == "HEIF":
        layout = read_layout(path)
        family = layout.format if layout is not None else ("AVIF" if start[8:12] == b"avis" else "HEIF")
        if layout is not None and layout.size is not None:
            return Header(family, layout.size, layout)
    if family not in OPENERS:
        # A sequence without items: libheif says the size when it opens the file, which does not decode it.
        return Header(family, (0, 0), layout)
    try:
        with OPENERS[family](path) as image:
            _refuse_raw(image)
            is_mpo = family == "JPEG" and "mp" in image.info
            return Header("MPO" if is_mpo else family, image.size, layout)
    except DECODE_ERRORS as error:
        raise broken(error) from error


def sniff(start: bytes) -> str:
    """Names the family of a file.

    Args:
        start: The first bytes of a file, 4096 or all of them.

    Returns:
        JPEG, PNG, TIFF, WEBP, or HEIF for everything in that container (AVIF too).

    Raises:
        BadPhotoError: It is empty or something else.
    """
    if not start:
        raise BadPhotoError("an empty file")
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp":
        return _sniff_brands(start)
    if not start.strip(b"\0"):
        raise BadPhotoError("a file of zeros")
    what = next((name for magic, name in STRANGERS if start.startswith(magic)), "no known picture")
    raise BadPhotoError(f"{what}; expected {FORMATS}")


def _sniff_brands(start: bytes) -> str:
    size = int.from_bytes(start[:4], "big")
    brands = {start[8:12]} | {start[at : at + 4] for at in range(16, min(size, len(start)) - 3, 4)}
    if brands & RAW_BRANDS:
        raise BadPhotoError(f"a camera's raw file; expected {FORMATS}")
    if not brands & (PICTURE_BRANDS | SEQUENCE_BRANDS):
        raise BadPhotoError(f"a video or something else (brand {start[8:12]!r}); expected {FORMATS}")
    return "HEIF"


def _refuse_raw(image: ImageFile) -> None:
    if isinstance(image, TiffImageFile):
        tags = image.tag_v2
        if DNG_VERSION in tags or tags.get(NEW_SUBFILE_TYPE, 0) & 1:
            # Pillow would take the thumbnail that comes first for the photo.
            raise BadPhotoError(f"a camera's raw file; expected {FORMATS}")


def broken(error: Exception) -> BadPhotoError:
    """Turns what a decoder raised into a refusal; re-raises what the disk did.

    Args:
        error: One of DECODE_ERRORS.

    Returns:
        The refusal.

    Raises:
        OSError: It is the disk's, so that it does not speak of the photo.
    """
    if isinstance(error, OSError) and error.errno in DISK_ERRNOS:
        raise error
    if isinstance(error, MemoryError):
        return BadPhotoError("takes more memory than a photo of its size may")
    words = printable(" ".join(str(error).split()))
    plain = next((plain for pattern, plain in PLAIN_WORDS if pattern.search(words)), words or type(error).__name__)
    return BadPhotoError(f"cannot be decoded: {plain}")
