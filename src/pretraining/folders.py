"""Loads a folder of class folders (the layout of Food-101), and writes one."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile

from src.core.errors import BadPhotoError, ConfigError, EmptyDatasetError
from src.core.files import replaced_folder
from src.core.seeding import derive_seed
from src.data.photos.decode import check_size, decode_photo
from src.data.photos.header import DECODE_ERRORS, broken, read_header
from src.data.photos.listing import JUNK_FOLDERS, SIDECARS
from src.pretraining.captions import WrittenCaptions, read_written
from src.pretraining.images import ImageSet, save_samples

MAX_THREADS, MAX_MEGAPIXELS, SHOWN_PROBLEMS = 16, 200.0, 10
PARTS = ("train", "val")
# the class of images that lie in no class folder
ONE_CLASS = "images"
Pixels = NDArray[np.uint8]


def load_class_folders(
    folder: str, resolution: int, part: str, val_fraction: float, seed: int, captions: bool = False
) -> ImageSet:
    """Loads one part of a folder whose sub-folders are classes, each with images of any size.

    A folder without sub-folders, with images right in it, is one class.

    Images are turned upright, brought to sRGB, cropped to the square in their middle and resized with antialiasing.
    The part that an image belongs to is a function of the seed and its relative path alone, so that adding images
    moves no other. For separate folders take `part` train with `val_fraction` 0 and `part` val with 1.

    Args:
        folder: Holds one folder for each class. Hidden files and sidecars (text, tables, video) are ignored.
        resolution: The side to resize to, pixels.
        part: ``train`` or ``val``.
        val_fraction: Share of the images that is held out, in [0, 1].
        seed: Of the split.
        captions: Whether every image has a caption, in captions.txt or in a text file beside it.

    Returns:
        The part; its classes are all folders' names, sorted. Rows are in the order of class and file name.

    Raises:
        ConfigError: An argument is out of range.
        EmptyDatasetError: The folder is missing, has no class folder, one of them is empty, or the part has fewer than
            2 images.
        CaptionError: `captions`, and an image has none, or a caption fits no image.
        BadPhotoError: Images that cannot be read, by name, or a folder inside of a class folder.
    """
    if part not in PARTS:
        raise ConfigError(f"part={part}: expected train or val")
    if not 0 <= val_fraction <= 1:
        raise ConfigError(f"val_fraction={val_fraction}: expected a number in [0, 1]")
    if resolution < 1:
        raise ConfigError(f"resolution={resolution}: expected 1 or more")
    root = Path(folder)
    classes = _class_folders(root)
    every = [(label, path) for label, place in enumerate(classes.values()) for path in _images(place)]
    texts = read_written(root, [path for _, path in every]) if captions else [""] * len(every)
    chosen = [
        (label, path, text)
        for (label, path), text in zip(every, texts, strict=True)
        if (_position(seed, path.relative_to(root)) < val_fraction) == (part == "val")
    ]
    if len(chosen) < 2:
        raise EmptyDatasetError(
            f"{folder}: expected 2 images or more in the part {part}, found {len(chosen)} (val_fraction={val_fraction})"
        )
    labels, paths, texts = (list(column) for column in zip(*chosen, strict=True))
    pixels = _decode_all(paths, resolution)
    written = WrittenCaptions(texts, labels) if captions else None
    return ImageSet(pixels, torch.tensor(labels), list(classes), written, None)


def export_class_folders(images: ImageSet, folder: Path) -> None:
    """Writes images as PNG files, a folder for each class.

    Args:
        images: What to write.
        folder: A new folder.

    Raises:
        ConfigError: The folder exists.
    """
    check_new(folder)
    with replaced_folder(folder) as temporary:
        by_class = {name: images.pixels[images.labels == label] for label, name in enumerate(images.classes)}
        save_samples(temporary, by_class)


def check_new(folder: Path) -> None:
    """Raises ConfigError where there is something already."""
    if folder.exists():
        raise ConfigError(f"{folder}: exists; expected the name of a new folder")


def _position(seed: int, relative: Path) -> float:
    return derive_seed(seed, "split", relative.as_posix()) / 2**63


def _class_folders(root: Path) -> dict[str, Path]:
    if not root.is_dir():
        raise EmptyDatasetError(f"{root}: no such folder; expected one with a folder for each class")
    inside = sorted(path for path in root.iterdir() if not _is_junk(path))
    if folders := {path.name: path for path in inside if path.is_dir()}:
        return folders
    if all(SIDECARS.fullmatch(path.suffix.lower()) for path in inside):
        raise EmptyDatasetError(
            f"{root}: no class folder and no image in it; expected one for each class, with images inside"
        )
    return {ONE_CLASS: root}


def _images(class_folder: Path) -> list[Path]:
    paths = sorted(path for path in class_folder.iterdir() if not _is_junk(path))
    if inner := next((path for path in paths if path.is_dir()), None):
        raise BadPhotoError(f"{inner}: a folder inside of a class folder; expected images only")
    if special := next((path for path in paths if path.exists() and not path.is_file()), None):
        raise BadPhotoError(f"{special}: not a regular file; expected images only")
    images = [path for path in paths if not SIDECARS.fullmatch(path.suffix.lower())]
    if not images:
        raise EmptyDatasetError(f"{class_folder}: an empty class folder; expected images in it")
    return images


def _is_junk(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in JUNK_FOLDERS


def _decode_all(paths: list[Path], resolution: int) -> torch.Tensor:
    pixels = np.empty((len(paths), 3, resolution, resolution), dtype=np.uint8)

    def decode(row: int) -> str:
        try:
            pixels[row] = _squared(_decode(paths[row]), resolution)
        except BadPhotoError as error:
            return f"{paths[row]}: {error}"
        return ""

    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, MAX_THREADS)) as pool:
        problems = [problem for problem in pool.map(decode, range(len(paths))) if problem]
    if problems:
        more = [f"and {len(problems) - SHOWN_PROBLEMS} more"] if len(problems) > SHOWN_PROBLEMS else []
        raise BadPhotoError("\n".join(["images that cannot be used:", *problems[:SHOWN_PROBLEMS], *more]))
    return torch.from_numpy(pixels)


def _decode(path: Path) -> Image.Image:
    with path.open("rb") as stream:
        is_bmp = stream.read(2) == b"BM"
    if not is_bmp:
        return decode_photo(path, read_header(path), MAX_MEGAPIXELS).image
    try:
        with BmpImageFile(path) as image:
            check_size(image.size, MAX_MEGAPIXELS)
            return image.convert("RGB")
    except DECODE_ERRORS as error:
        raise broken(error) from error


def _squared(image: Image.Image, resolution: int) -> Pixels:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    small = square.resize((resolution, resolution), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.asarray(small).transpose(2, 0, 1)
