"""Captions that a person wrote: `file|caption` lines in captions.txt, or a text file beside each photo."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from src.core.errors import CaptionError
from src.core.files import has_file
from src.data.photos.links import OUTSIDE, leaves

# in whatever case, in the folder with the photos and its sub-folders
CAPTIONS = "captions.txt"
ENDING = ".txt"
# What stands around a whole caption and is none of its words.
QUOTES = (('"', '"'), ("'", "'"), ("\u201c", "\u201d"), ("\u2018", "\u2019"), ("\u00ab", "\u00bb"))

Kind = Literal["line", "comment", "file"]


@dataclass(frozen=True)
class WrittenCaption:
    """One caption.

    Attributes:
        where: The file and line, for messages.
        folder: The file's folder, relative to the photos' folder, in which `file` is looked for.
        file: The photo's name as written.
        text: The caption as written, without the spaces and quotes around it.
        kind: A line; one that starts with # and is a comment unless a photo has the name; or a file of its own, which
            means photos beside it and is none where there are none.
    """

    where: str
    folder: str
    file: str
    text: str
    kind: Kind


def is_caption_file(name: str) -> bool:
    """Says whether a file of this name holds `file|caption` lines."""
    return name.casefold() == CAPTIONS


def read_captions(raw: Path, texts: Sequence[str]) -> list[WrittenCaption]:
    """Reads all captions of a folder.

    Args:
        raw: The folder with the photos.
        texts: The text files in it, relative to it: captions.txt files, and files named like photos.

    Returns:
        The captions, file by file.

    Raises:
        CaptionError: A line of a captions.txt has no |, a file is not UTF-8, has a NUL in it, or is a symbolic link
            out of the folder.
        NotAFileError: One is a pipe, a device, a socket or a folder.
    """
    captions = []
    for relative in texts:
        place = PurePosixPath(relative)
        path, folder = raw / relative, place.parent.as_posix()
        if leaves(raw.resolve(), path):
            raise CaptionError(f"{path}: {OUTSIDE}")
        if not has_file(path):
            continue
        if is_caption_file(place.name):
            captions.extend(_read_lines(path, folder))
        else:
            text = _unquoted(" ".join(_read_text(path).split()))
            captions.append(WrittenCaption(str(path), folder, place.stem, text, "file"))
    return captions


def _read_lines(path: Path, folder: str) -> list[WrittenCaption]:
    """Reads `file|caption` lines; blank ones do not count, nor those that start with # unless a photo has the name."""
    captions = []
    for number, line in enumerate(re.split(r"\r\n|\n|\r", _read_text(path)), start=1):
        file, bar, caption = line.partition("|")
        is_comment = line.lstrip().startswith("#")
        if not line.strip() or (is_comment and not bar):
            continue
        if not bar or not file.strip():
            raise CaptionError(f"{path}:{number}: expected `file|caption`, found {line!r}")
        kind: Kind = "comment" if is_comment else "line"
        named, text = _unquoted(file.strip()), _unquoted(caption.strip())
        captions.append(WrittenCaption(f"{path}:{number}", folder, named, text, kind))
    return captions


def _read_text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CaptionError(f"{path}: expected UTF-8 text, found byte {error.object[error.start]:#04x}") from error
    if "\0" in text:
        number = text[: text.index("\0")].count("\n") + 1
        raise CaptionError(f"{path}:{number}: expected UTF-8 text, found a NUL byte")
    return text


def _unquoted(text: str) -> str:
    for opening, closing in QUOTES:
        inner = text[1:-1]
        if len(text) > 1 and text[0] == opening and text[-1] == closing and not {opening, closing} & set(inner):
            return inner.strip()
    return text


def match_captions(captions: Sequence[WrittenCaption], source_of: Mapping[str, str]) -> dict[str, WrittenCaption]:
    """Finds the photo of each caption: by its path, else by its name, else by its name without the ending.

    The comparison ignores case and how accents are encoded. A line may so be written for IMG_1.jpg while the photo
    is IMG_1.HEIC, and only has to name the folder where the name alone would fit two photos below the caption file's
    own folder and none in it. A file that is named like a photo means those beside it.

    Args:
        captions: The captions.
        source_of: Each image id with its photo's path relative to the raw folder.

    Returns:
        The caption of each image id that has one.

    Raises:
        CaptionError: A line fits no photo, a caption several, or two fit one photo; all such are listed.
    """
    wrong = []
    matched: dict[str, WrittenCaption] = {}
    index = _index(source_of, {_fold(caption.folder) for caption in captions})
    for caption in captions:
        found = _candidates(caption, index)
        if not found and caption.kind != "line":
            continue
        if not found:
            wrong.append(f"{caption.where}: no photo fits {caption.file!r}")
        elif len(found) > 1:
            sources = ", ".join(sorted(source_of[image_id] for image_id in found))
            wrong.append(f"{caption.where}: {caption.file!r} fits several photos, write the path of one: {sources}")
        elif found[0] in matched:
            wrong.append(f"{caption.where}: {source_of[found[0]]!r} has a caption in {matched[found[0]].where} already")
        else:
            matched[found[0]] = caption
    if wrong:
        raise CaptionError("captions that cannot be used:\n  " + "\n  ".join(wrong))
    return matched


# Image ids by the folder that names are relative to, the photo's folder in it ("*": any), and the name or its stem.
Index = dict[tuple[str, str, str, str], list[str]]


def _index(source_of: Mapping[str, str], folders: set[str]) -> Index:
    index: Index = defaultdict(list)
    for image_id, source in source_of.items():
        path = PurePosixPath(_fold(source))
        for folder in path.parents:
            if folder.as_posix() not in folders:
                continue
            for parent in (path.parent.relative_to(folder).as_posix(), "*"):
                index[folder.as_posix(), parent, "name", path.name].append(image_id)
                index[folder.as_posix(), parent, "stem", path.stem].append(image_id)
    return index


def _candidates(caption: WrittenCaption, index: Index) -> list[str]:
    folder, wanted = _fold(caption.folder), PurePosixPath(_fold(caption.file))
    within = wanted.parent.as_posix()
    places = [within] if len(wanted.parts) > 1 or caption.kind == "file" else [within, "*"]
    names = [("name", wanted.name), ("stem", wanted.name)]
    if caption.kind != "file":
        names.append(("stem", wanted.stem))
    tries = [(place, *name) for name in names for place in places]
    for parent, kind, name in tries:
        if found := index.get((folder, parent, kind, name)):
            return found
    return []


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/")).casefold()
