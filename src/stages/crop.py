"""Crops every photo to a square around the subject. Reads data/images, writes data/crops."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from PIL import Image

from src.core import layout
from src.core.app import Stage
from src.core.building import build
from src.core.errors import BadPhotoError, ConfigError, EmptyDatasetError
from src.core.files import replaced_folder, write_csv
from src.core.progress import follow
from src.core.tables import read_table
from src.core.workers import usable_cores
from src.data.cropping.box import ENLARGED, Box, Cropper
from src.data.photos.budget import PixelBudget

# Photos that are in memory at one time, each three times at most
PIXELS_AT_ONCE = 210e6


@dataclass(frozen=True)
class CropRecord:
    """One row of crops.csv: the box in pixels of the upright photo, and crop pixels per photo pixel.

    `subject_share` is the share of the crop that the subject fills, None where the cropper has no mask.
    """

    image_id: str
    left: int
    top: int
    right: int
    bottom: int
    scale: float
    cropper: str
    subject_share: float | None
    warning: str


def crop_images(images: Path, out: Path, cropper: Cropper, size: int, max_upscale: float) -> list[CropRecord]:
    """Writes a square crop of each usable photo, masks/ where the cropper finds them, and a table of the boxes.

    Args:
        images: The folder with images.csv and the upright photos.
        out: The folder to write; an earlier one is replaced when all photos are done.
        cropper: Finds the subject.
        size: The side of the crops, pixels.
        max_upscale: A crop enlarged by more than this factor has a warning in its row.

    Returns:
        The rows, in order of the image ids.

    Raises:
        BadPhotoError: The cropper finds no subject; all such photos are listed.
        ConfigError: `size` or `max_upscale` is not positive.
        EmptyDatasetError: No photo is usable.
    """
    for key, value in (("crop.size_px", size), ("crop.max_upscale", max_upscale)):
        if value <= 0:
            raise ConfigError(f"{key}={value}: expected a positive number")
    table = read_table(images / layout.IMAGE_TABLE.name, "image_id", "source", "status")
    usable = table[table["status"] == "ok"].sort_values("image_id")
    if usable.empty:
        raise EmptyDatasetError(
            f"{images / layout.IMAGE_TABLE.name}: all {len(table)} photos are refused; see column reason"
        )
    records: list[CropRecord] = []
    failures: list[str] = []
    rows = list(zip(usable["image_id"], usable["source"], strict=True))
    with replaced_folder(out) as folder, ThreadPoolExecutor(usable_cores()) as pool:
        job = _Job(images, folder, cropper, size, max_upscale)
        for found in follow(pool.map(job.crop, *zip(*rows, strict=True)), len(rows), "crop"):
            if isinstance(found, CropRecord):
                records.append(found)
            else:
                failures.append(found)
        if failures:
            raise BadPhotoError(
                f"cropper={cropper.name} finds no subject in {len(failures)} of {len(usable)} photos; take them out or "
                "choose cropper=salient:\n  " + "\n  ".join(failures)
            )
        write_csv(folder / layout.CROP_TABLE.name, pd.DataFrame(records))
    return records


@dataclass(frozen=True)
class _Job:
    """What is the same for all photos; a cropper, which uses all cores by itself, looks at one at a time."""

    images: Path
    folder: Path
    cropper: Cropper
    size: int
    max_upscale: float
    budget: PixelBudget = field(default_factory=lambda: PixelBudget(PIXELS_AT_ONCE))
    turn: threading.Lock = field(default_factory=threading.Lock)

    def crop(self, image_id: str, source: str) -> CropRecord | str:
        """Writes one crop and its mask; its row, or why there is none."""
        path = self.images / f"{image_id}.png"
        with self.budget.claim(_area(path)):
            return self._crop(_open(path), image_id, source)

    def _crop(self, image: Image.Image, image_id: str, source: str) -> CropRecord | str:
        try:
            with self.turn:
                box = self.cropper.find(image)
        except BadPhotoError as error:
            return f"{source}: {error}"
        cut(image, box, self.size, "edge").save(self.folder / f"{image_id}.png")
        share = None
        if box.mask is not None:
            (self.folder / layout.MASKS).mkdir(exist_ok=True)
            whole = Image.fromarray(box.mask).convert("L").resize(image.size)
            mask = cut(whole, box, self.size, "constant").point(lambda value: 255 * (value > 127))
            mask.save(self.folder / layout.MASKS / f"{image_id}.png")
            share = round(float(np.asarray(mask).mean()) / 255, 4)
        return _record(image_id, box, self.cropper.name, self.size, self.max_upscale, share)


def cut(image: Image.Image, box: Box, size: int, beyond: Literal["edge", "constant"]) -> Image.Image:
    """Cuts a square out of an image.

    Args:
        image: Of any mode.
        box: Where.
        size: The side to resize to, pixels.
        beyond: What is beyond the image's edges: its outermost pixels, or black.

    Returns:
        The square.
    """
    more = max(0, -box.left, -box.top, box.right - image.width, box.bottom - image.height)
    if more:
        pixels = np.asarray(image)
        margins = [(more, more)] * 2 + [(0, 0)] * (pixels.ndim - 2)
        image = Image.fromarray(np.pad(pixels, margins, mode=beyond))
    edges = (box.left + more, box.top + more, box.right + more, box.bottom + more)
    return image.resize((size, size), Image.Resampling.LANCZOS, box=edges)


def _area(path: Path) -> int:
    """Returns the number of pixels by the header, 0 where it is broken, which opening it tells."""
    try:
        with Image.open(path) as image:
            return image.width * image.height
    except (OSError, SyntaxError):
        return 0


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise BadPhotoError(f"{path}: cannot be read ({error}); run `dvc repro`") from error


def _record(image_id: str, box: Box, cropper: str, size: int, max_upscale: float, share: float | None) -> CropRecord:
    scale = size / box.side
    warnings = [box.warning] if box.warning else []
    if scale > max_upscale:
        warnings.append(f"{ENLARGED} {scale:z.2f} times, more than {max_upscale:g}: a closer photo would be sharper")
    edges = (box.left, box.top, box.right, box.bottom)
    return CropRecord(image_id, *edges, round(scale, 6), cropper, share, "; ".join(warnings))


def summarise(records: list[CropRecord]) -> str:
    """Returns a line with the number of crops, and one for each warning."""
    warned = [f"crop: warning: {record.image_id}: {record.warning}" for record in records if record.warning]
    return "\n".join([f"crop: {len(records)} crops, {len(warned)} of them with a warning", *warned])


def main() -> None:
    """Runs the stage."""
    Stage(
        "crop",
        lambda params: print(
            summarise(
                crop_images(
                    layout.IMAGES,
                    layout.CROPS,
                    build(params.cropper, "cropper"),
                    params.crop.size_px,
                    params.crop.max_upscale,
                )
            )
        ),
        writes=layout.CROPS,
    ).main()


if __name__ == "__main__":
    main()
