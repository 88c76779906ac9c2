"""Takes photos that are dropped into the page: each is read as the stage `convert` reads it, then put into data/raw.

A name is data from a browser: nothing but its last part counts, cleaned. Nothing in data/raw is ever overwritten.
"""

import errno
import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from src.core import layout
from src.core.errors import BadPhotoError, StateLockedError, WorkerError
from src.core.files import sha256_file, write_bytes
from src.core.printable import printable
from src.core.workers import Worker
from src.data.photos.conversion import inspect_photo, limits_of, write_photo
from src.data.photos.decode import check_size
from src.data.photos.header import DECODE_ERRORS, broken
from src.data.photos.listing import Photo, list_photos

MAX_BYTES = 256 << 20
MAX_STEM_CHARS, MAX_SUFFIX_CHARS = 80, 5
# disks count bytes, 255 of a name, and a number and a temporary file's ending come to it
MAX_STEM_BYTES = 200
# what a disk says that has no links, or is another one
NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)
WORKER = ("src.data.photos.conversion",)


@dataclass(frozen=True)
class Received:
    """A photo that was taken.

    Attributes:
        name: Its file in data/raw.
        known: Whether the same photo was there already, under this name.
    """

    name: str
    known: bool


def clean_name(name: str) -> str:
    """Makes a file's plain name of what a browser calls it.

    Args:
        name: Anything, a path too.

    Returns:
        Letters of any alphabet, digits, ``_``, ``-`` and ``.``; it begins with none of the last two, so that it is
        neither hidden nor an option.
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    stem, dot, suffix = last.rpartition(".")
    if not dot:
        stem, suffix = last, ""
    stem, suffix = (re.sub(r"[^\w-]+", "-", part).strip("-") for part in (stem, suffix))
    stem = stem[:MAX_STEM_CHARS].encode()[:MAX_STEM_BYTES].decode(errors="ignore").rstrip("-") or "photo"
    return f"{stem}.{suffix[:MAX_SUFFIX_CHARS]}" if suffix else stem


def receive(name: str, data: bytes, max_megapixels: float, raw: Path = layout.RAW) -> Received:
    """Puts a photo beside those that are there.

    Args:
        name: As the browser says.
        data: The file.
        max_megapixels: Larger photos are refused, as `convert.max_megapixels`.
        raw: The folder.

    Returns:
        What became of it.

    Raises:
        BadPhotoError: It is no photo, or cannot be read; the message begins with its name.
    """
    shown = printable(name)[-MAX_STEM_CHARS:]
    if not data or len(data) > MAX_BYTES:
        raise BadPhotoError(f"{shown}: an empty file, or over {MAX_BYTES >> 20} MiB")
    raw.mkdir(parents=True, exist_ok=True)
    layout.INCOMING.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=layout.INCOMING) as folder:
        file = Path(folder).absolute() / clean_name(name)
        write_bytes(file, data)
        try:
            digest = _check(file, Path(folder).absolute(), max_megapixels)
        except (BadPhotoError, WorkerError) as error:
            raise BadPhotoError(f"{shown}: {error}") from error
        except DECODE_ERRORS as error:  # as in the stage: it is this photo's
            raise BadPhotoError(f"{shown}: {broken(error)}") from error
        if (same := _same(raw, digest, len(data))) is not None:
            return Received(same, True)
        return Received(_place(file, raw), False)


def photos_here(raw: Path = layout.RAW) -> list[str]:
    """Lists the photos of a folder, by their paths in it."""
    if not raw.is_dir() or not any(raw.iterdir()):
        return []
    return [photo.source for photo in list_photos(raw).photos]


def set_aside(raw: Path = layout.RAW, aside: Path = layout.SET_ASIDE) -> Path:
    """Moves all that is in a folder, for photos of another subject; nothing is deleted.

    Args:
        raw: The folder, empty afterwards.
        aside: Gets a folder with the next number.

    Returns:
        Where it is now.

    Raises:
        BadPhotoError: There is nothing.
        StateLockedError: The folder is on another disk than the project.
    """
    if not raw.is_dir() or not any(raw.iterdir()):
        raise BadPhotoError(f"{raw}: there are no photos to set aside")
    aside.mkdir(parents=True, exist_ok=True)
    number = max((int(path.name) for path in aside.iterdir() if path.name.isdecimal()), default=0) + 1
    target = aside / str(number)
    try:
        raw.rename(target)
    except OSError as error:
        raise StateLockedError(f"{raw}: cannot be moved to {target} ({error.strerror}): move it yourself") from error
    raw.mkdir()
    return target


def _check(file: Path, folder: Path, max_megapixels: float) -> str:
    """Reads and decodes a photo in a process of its own, as what is in it may be hostile."""
    size = file.stat().st_size
    with Worker(WORKER) as worker:
        found = worker.call(limits_of(size, 0), inspect_photo, file)
        width, height = found.header.size
        check_size((width, height), max_megapixels)
        worker.call(
            limits_of(size, width * height),
            write_photo,
            Photo(file, file.name, "decoded", ""),
            found,
            folder,
            max_megapixels,
        )
    return found.digest


def _same(raw: Path, digest: str, size: int) -> str | None:
    for path in sorted(raw.rglob("*")):
        if path.is_file() and path.stat().st_size == size and sha256_file(path) == digest:
            return path.relative_to(raw).as_posix()
    return None


def _place(file: Path, raw: Path) -> str:
    """Puts a file into a folder under a name that nothing there has: a link never replaces anything.

    Where the folder is on another disk than the cache, or its disk has no links, an empty file takes the name first.
    """
    number = 1
    while True:
        name = file.name if number == 1 else f"{file.stem}-{number}{file.suffix}"
        try:
            os.link(file, raw / name)
        except FileExistsError:
            number += 1
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            if _copy(file, raw / name):
                return name
            number += 1
        else:
            return name


def _copy(file: Path, target: Path) -> bool:
    """Copies a file to a name that is taken before; False where another file has it."""
    try:
        target.touch(exist_ok=False)
    except FileExistsError:
        return False
    write_bytes(target, file.read_bytes())
    return True
