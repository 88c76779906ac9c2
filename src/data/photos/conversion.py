"""Turns one photo into a PNG and a row of images.csv, within a budget of time and memory of its own."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from src.core.errors import BadPhotoError
from src.core.files import sha256_file
from src.core.printable import printable
from src.core.workers import Limits
from src.data.photos.decode import decode_photo
from src.data.photos.duplicates import Seen
from src.data.photos.fingerprint import grey_version, perceptual_hash, sharpness
from src.data.photos.header import DECODE_ERRORS, Header, broken, read_header
from src.data.photos.keypoints import look_at
from src.data.photos.listing import Photo

# A 12-megapixel photo takes 1.5 s and 0.2 GB here, one of 200 megapixels 25 s and 1.6 GB: ten times that is no photo.
BASE_SECONDS, SECONDS_PER_MEGAPIXEL, BYTES_PER_SECOND = 8.0, 1.0, 20e6
BASE_MEMORY, MEMORY_PER_PIXEL, MEMORY_PER_BYTE = 512 << 20, 16, 3
# Half of Pillow's time at the same size: filters that are tried by libpng, and zlib's fastest level.
PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FAST_FILTERS)


@dataclass(frozen=True)
class PhotoRecord:
    """A row of images.csv; a refused photo has a reason, and only what is known of it."""

    image_id: str
    source: str
    sha256: str
    status: str
    reason: str
    width: int | None = None
    height: int | None = None
    stored_width: int | None = None
    stored_height: int | None = None
    format: str = ""
    orientation: int | None = None
    profile: str = ""
    bit_depth: int | None = None
    sharpness: float | None = None
    phash: str = ""
    taken: str = ""
    camera: str = ""
    group: str = ""


@dataclass(frozen=True)
class Converted:
    """A photo's row, what near-duplicates are told by (None where it was refused), and what libraries warned of."""

    record: PhotoRecord
    seen: Seen | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """What is known of a photo before it is decoded: its file's SHA-256, its header, and what libraries warned of."""

    digest: str
    header: Header
    warnings: tuple[str, ...]


def limits_of(file_bytes: int, pixels: int) -> Limits:
    """Returns what a photo may take.

    Args:
        file_bytes: The size of its file.
        pixels: Its area, 0 before it is known.

    Returns:
        Processor time and memory.
    """
    seconds = BASE_SECONDS + file_bytes / BYTES_PER_SECOND + pixels / 1e6 * SECONDS_PER_MEGAPIXEL
    return Limits(seconds, BASE_MEMORY + MEMORY_PER_BYTE * file_bytes + MEMORY_PER_PIXEL * pixels)


def inspect_photo(path: Path) -> Inspection:
    """Reads a photo's header.

    Args:
        path: The file.

    Returns:
        What it says.

    Raises:
        BadPhotoError: It cannot be read.
        OSError: The disk fails.
    """
    with _own_errors() as told:
        try:
            digest = sha256_file(path)
        except PermissionError as error:
            raise BadPhotoError("may not be read (permission denied)") from error
        header = read_header(path)
    return Inspection(digest, header, _texts(told))


def write_photo(photo: Photo, found: Inspection, folder: Path, max_megapixels: float) -> Converted:
    """Decodes a photo and writes its PNG.

    Args:
        photo: The file, its path absolute.
        found: What `inspect_photo` says of it.
        folder: Where the PNG goes.
        max_megapixels: Larger photos are refused.

    Returns:
        The photo.

    Raises:
        BadPhotoError: It cannot be used.
        OSError: The disk fails.
    """
    with _own_errors() as told:
        decoded = decode_photo(photo.path, found.header, max_megapixels)
        write_png(folder / f"{photo.image_id}.png", decoded.image)
        grey = grey_version(decoded.image)
        seen = Seen(look_at(grey), perceptual_hash(grey), decoded.capture)
    record = PhotoRecord(
        image_id=photo.image_id,
        source=photo.source,
        sha256=found.digest,
        status="ok",
        reason="",
        width=decoded.image.width,
        height=decoded.image.height,
        stored_width=decoded.stored_size[0],
        stored_height=decoded.stored_size[1],
        format=found.header.format,
        orientation=decoded.orientation,
        profile=decoded.profile,
        bit_depth=decoded.bit_depth,
        sharpness=sharpness(grey),
        phash=f"{seen.phash:016x}",
        taken=decoded.capture.taken,
        camera=decoded.capture.camera,
    )
    return Converted(record, seen, tuple(dict.fromkeys(found.warnings + _texts(told))))


def write_png(path: Path, image: Image.Image) -> None:
    """Writes pixels as a PNG that holds nothing else; the same pixels give the same bytes.

    Args:
        path: Where to, in a folder that nobody reads yet.
        image: Mode RGB.
    """
    _, data = cv2.imencode(".png", cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR), PNG)
    path.write_bytes(data.tobytes())


@contextmanager
def _own_errors() -> Iterator[list[warnings.WarningMessage]]:
    """Makes a photo's refusal of whatever libraries raise, and keeps their warnings; the disk's own errors go on."""
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            yield told
    except BadPhotoError:
        raise
    except DECODE_ERRORS as error:
        raise broken(error) from error


def _texts(told: list[warnings.WarningMessage]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(printable(" ".join(str(warning.message).split())) for warning in told))
