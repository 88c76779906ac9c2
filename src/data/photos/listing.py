"""Finds the photos under a folder: what is tried, what is ignored as a sidecar or junk, and each photo's image_id."""

import hashlib
import os
import re
import stat
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from src.core.errors import BadPhotoError, EmptyDatasetError
from src.core.printable import printable
from src.data.caption_file import ENDING, is_caption_file
from src.data.photos.links import OUTSIDE, leaves

FORMATS = "HEIC, HEIF, AVIF, JPEG, MPO, PNG, WebP or TIFF"
SLUG_CHARS = 40
# Beside photos by design: Live Photo and motion clips, edit instructions, captions, bookkeeping of this project.
SIDECARS = re.compile(r"\.(mov|mp4|m4v|3gp|avi|thm|lrv|aae|xmp|txt|csv|json|md|xml|yaml|yml|dvc|db|ini|log)")
JUNK_FOLDERS = frozenset(("__macosx", "@eadir", "$recycle.bin", "system volume information"))
# Deleted by the owner but still on the card (Android), or a picture that is still in the cloud.
HIDDEN_LABELS = (
    (re.compile(r"\._"), "._*"),
    (re.compile(r"\.trashed-"), ".trashed-*"),
    (re.compile(r"\..*\.icloud$"), "*.icloud (not downloaded from iCloud yet)"),
)
# Small Cyrillic letters from U+0430 on, so that such names stay readable in ASCII.
LATIN = "a b v g d e zh z i y k l m n o p r s t u f kh ts ch sh shch  y  e yu ya"
CYRILLIC = {chr(0x430 + index): latin for index, latin in enumerate(LATIN.split(" "))}


@dataclass(frozen=True)
class Photo:
    """A file that must be a photo; `problem` says why it cannot even be opened, or is empty."""

    path: Path
    source: str
    image_id: str
    problem: str


@dataclass(frozen=True)
class Listing:
    """Everything under a folder: photos in the order of their relative path's bytes, and counts of what is ignored.

    `texts` are the paths of captions.txt, in whatever case, and of text files that are named like a photo beside them.
    """

    photos: tuple[Photo, ...]
    ignored: tuple[tuple[str, int], ...]
    texts: tuple[str, ...] = ()

    def describe_ignored(self) -> str:
        """Returns one line that counts what is ignored, or an empty text."""
        if not self.ignored:
            return ""
        total = sum(count for _, count in self.ignored)
        return f"ignored {total} files that are not photos: " + ", ".join(f"{n} {label}" for label, n in self.ignored)


def list_photos(raw: Path) -> Listing:
    """Searches a folder and its sub-folders, also through symbolic links within it or into DVC's cache.

    Args:
        raw: The folder.

    Returns:
        At least one photo. Whatever is neither a photo by name nor known junk counts as a photo, so that nothing
        is dropped silently.

    Raises:
        EmptyDatasetError: The folder is missing or holds nothing that could be a photo.
        BadPhotoError: Two photos have the same image_id.
    """
    if not raw.is_dir():
        raise EmptyDatasetError(f"{raw}: expected a folder with photos ({FORMATS}), found none")
    found: dict[bytes, str] = {}
    ignored: Counter[str] = Counter()
    _search(raw, Path(os.path.realpath(raw)), b"", (), found, ignored)
    texts = _take_texts(found, ignored)
    counts = tuple(sorted(ignored.items()))
    if not found:
        empty = Listing((), counts)
        raise EmptyDatasetError(
            f"{raw}: expected photos ({FORMATS}), found none; {empty.describe_ignored()}".rstrip("; ")
        )
    photos = tuple(_photo(raw, relative, found[relative]) for relative in sorted(found))
    first: dict[str, Photo] = {}
    for photo in photos:
        other = first.setdefault(photo.image_id.lower(), photo)
        if other is not photo:
            raise BadPhotoError(f"{other.source} and {photo.source} have the same image_id: rename one of them")
    return Listing(photos, counts, texts)


def _take_texts(found: dict[bytes, str], ignored: Counter[str]) -> tuple[str, ...]:
    """Takes text files out of what was found, counts those that no photo is named like, and returns the others."""
    texts = sorted(path for path in map(PurePosixPath, map(os.fsdecode, found)) if path.suffix.lower() == ENDING)
    for path in texts:
        name = os.fsencode(path.as_posix())
        if found[name] != OUTSIDE:  # refused as if it were a photo, so that somebody looks at it
            del found[name]
    photos = [PurePosixPath(_fold(name)) for name in found]
    named = {(path.parent, name) for path in photos for name in (path.name, path.stem)}
    captions = [
        path
        for path in texts
        if is_caption_file(path.name) or (PurePosixPath(_fold(path)).parent, PurePosixPath(_fold(path)).stem) in named
    ]
    if len(captions) < len(texts):
        ignored[f"*{ENDING} (no captions.txt, nor named like a photo)"] += len(texts) - len(captions)
    return tuple(path.as_posix() for path in captions)


def _fold(name: bytes | PurePosixPath) -> str:
    return unicodedata.normalize("NFC", os.fsdecode(name)).casefold()


def image_id(relative: bytes) -> str:
    """Names a photo: a readable part, and a hash that keeps equal stems apart (suffixes, folders, NFC and NFD).

    Args:
        relative: The photo's path relative to the folder that is searched, as the bytes on disk.

    Returns:
        ASCII letters, digits, ``_`` and ``-``; it does not depend on which other photos there are.
    """
    stem = os.fsdecode(relative).rsplit("/", 1)[-1].rpartition(".")
    text = unicodedata.normalize("NFC", stem[0] or stem[2])
    spelled = "".join(_spell(character) for character in text)
    ascii_text = unicodedata.normalize("NFKD", spelled).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^A-Za-z0-9_]+", "-", ascii_text)[:SLUG_CHARS].strip("-_") or "photo"
    return f"{slug}-{hashlib.sha256(relative).hexdigest()[:8]}"


def _spell(character: str) -> str:
    latin = CYRILLIC.get(character.lower())
    if latin is None:
        return character
    return latin if character.islower() else latin.capitalize()


def _photo(raw: Path, relative: bytes, problem: str) -> Photo:
    source = printable(relative.decode("utf-8", "backslashreplace"))
    return Photo(raw / os.fsdecode(relative), source, image_id(relative), problem)


def _search(
    folder: Path, root: Path, prefix: bytes, above: tuple[str, ...], found: dict[bytes, str], ignored: Counter[str]
) -> None:
    real = os.path.realpath(folder)
    if real in above:
        found[prefix.rstrip(b"/")] = "a symbolic link that leads back to a folder above it"
        return
    try:
        entries = list(os.scandir(folder))
    except PermissionError:
        found[prefix.rstrip(b"/")] = "a folder that may not be read (permission denied)"
        return
    for entry in entries:
        relative = prefix + os.fsencode(entry.name)
        if leaves(root, Path(entry.path)):
            found[relative] = OUTSIDE
            continue
        is_folder = _is_folder(entry)
        label = _junk_label(entry.name, is_folder)
        if label and is_folder:
            ignored[label] += sum(len(files) for _, _, files in os.walk(entry.path))
        elif label:
            ignored[label] += 1
        elif is_folder:
            _search(Path(entry.path), root, relative + b"/", (*above, real), found, ignored)
        else:
            found[relative] = _problem(entry)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; what is wrong with it is said where files are looked at
        return False


def _junk_label(name: str, is_folder: bool) -> str:
    lower = name.lower()
    if is_folder:
        return f"in {printable(name)}/" if lower in JUNK_FOLDERS or name.startswith(".") else ""
    for pattern, label in HIDDEN_LABELS:
        if pattern.match(lower):
            return label
    suffix = os.path.splitext(lower)[1]  # noqa: PTH122 - pathlib reads ".mov" as a stem
    if lower in (".ds_store", "thumbs.db", "icon\r"):
        return printable(name.strip())
    if lower.startswith("."):
        return "hidden files"
    return f"*{suffix}" if SIDECARS.fullmatch(suffix) and suffix != ENDING else ""


def _problem(entry: os.DirEntry[str]) -> str:
    try:
        mode = entry.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "a symbolic link to a file that does not exist"
    except OSError as error:
        return f"cannot be opened ({error.strerror})"
    return "" if stat.S_ISREG(mode) else "not a regular file"
