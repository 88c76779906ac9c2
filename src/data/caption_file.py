"""Captions that a person wrote, one `file|caption` a line, and which photo each belongs to."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from src.core.errors import CaptionError
from src.core.files import has_file
from src.data.photos.links import OUTSIDE, leaves

# the file's name, at the top of the folder with the photos
CAPTIONS = "captions.txt"


@dataclass(frozen=True)
class WrittenCaption:
    """One line of the file.

    Attributes:
        where: The file and line, for messages.
        file: The photo's name as written.
        text: The caption as written, without the spaces around it.
    """

    where: str
    file: str
    text: str


def read_captions(path: Path) -> list[WrittenCaption]:
    """Reads `file|caption` lines.

    Blank lines and lines that start with # do not count; a caption may contain | after the first one. A byte-order
    mark, Windows line ends and a missing line end at the end of the file are all right.

    Args:
        path: The file; where there is none nobody wrote captions.

    Returns:
        The lines in file order.

    Raises:
        CaptionError: A line has no |, or the file is not UTF-8 or a symbolic link out of its folder.
        NotAFileError: It is a pipe, a device, a socket or a folder.
    """
    if leaves(path.parent.resolve(), path):
        raise CaptionError(f"{path}: {OUTSIDE}")
    if not has_file(path):
        return []
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CaptionError(f"{path}: expected UTF-8 text, found byte {error.object[error.start]:#04x}") from error
    captions = []
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        file, bar, caption = line.partition("|")
        if not bar or not file.strip():
            raise CaptionError(f"{path}:{number}: expected `file|caption`, found {line!r}")
        captions.append(WrittenCaption(f"{path}:{number}", file.strip(), caption.strip()))
    return captions


def match_captions(captions: Sequence[WrittenCaption], source_of: Mapping[str, str]) -> dict[str, WrittenCaption]:
    """Finds the photo of each line: by its path, else by its name, else by its name without the ending.

    The comparison ignores case and how accents are encoded. A line may so be written for IMG_1.jpg while the photo
    is IMG_1.HEIC, and only has to name the folder where the name alone would fit two photos.

    Args:
        captions: The lines.
        source_of: Each image id with its photo's path relative to the raw folder.

    Returns:
        The line of each image id that has one.

    Raises:
        CaptionError: A line fits no photo or several, or two lines fit one photo; all such lines are listed.
    """
    wrong = []
    matched: dict[str, WrittenCaption] = {}
    for caption in captions:
        found = _candidates(caption.file, source_of)
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


def _candidates(file: str, source_of: Mapping[str, str]) -> list[str]:
    wanted = PurePosixPath(_fold(file))
    paths = {image_id: PurePosixPath(_fold(source)) for image_id, source in source_of.items()}
    if len(wanted.parts) > 1:
        paths = {image_id: path for image_id, path in paths.items() if path.parent == wanted.parent}
    for fits in (
        [image_id for image_id, path in paths.items() if path == wanted],
        [image_id for image_id, path in paths.items() if path.name == wanted.name],
        [image_id for image_id, path in paths.items() if path.stem == wanted.name],
        [image_id for image_id, path in paths.items() if path.stem == wanted.stem],
    ):
        if fits:
            return fits
    return []


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/")).casefold()
