"""Joins crops, captions and split into what training and evaluation read."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from src.core import layout
from src.core.errors import BadPhotoError, CaptionError, ConfigError, EmptyDatasetError
from src.core.tables import read_table
from src.data.cropping.box import LARGEST


@dataclass(frozen=True)
class Item:
    """One photo, ready to be encoded.

    Attributes:
        image_id: The photo's name in every table.
        path: The square crop.
        caption: With the rare token in it.
        size_px: Side of the crop's box in the photo, before resizing.
        mask: Where the subject is, an image of the crop's size; None where that is not known, or doubted.
    """

    image_id: str
    path: Path
    caption: str
    size_px: float
    mask: Path | None


@dataclass(frozen=True)
class Dataset:
    """The two sides of the split.

    Attributes:
        train: Photos to learn from.
        val: Photos to measure on.
    """

    train: list[Item]
    val: list[Item]


def load_dataset(crops: Path, captions: Path, split: Path, token: str, resolution: int) -> Dataset:
    """Reads the photos of both sides.

    Args:
        crops: The folder of crops with crops.csv.
        captions: captions.csv.
        split: split.csv.
        token: The rare token that every caption must hold.
        resolution: Side that the model generates, pixels.

    Returns:
        Both sides, each in the split's order.

    Raises:
        EmptyDatasetError: A table or a crop is missing, or a side is empty.
        CaptionError: A caption does not hold the token.
        ConfigError: The token is empty, or a crop was made for another resolution.
        BadPhotoError: A crop cannot be read.
    """
    if not token.strip():
        raise ConfigError("subject.token is empty: expected a rare word, for example sksToy")
    texts = read_table(captions, "image_id", "caption").set_index("image_id")["caption"]
    boxes = read_table(crops / layout.CROP_TABLE.name, "image_id", "left", "right", "warning").set_index("image_id")
    sides: dict[str, list[Item]] = {"train": [], "val": []}
    for row in read_table(split, "image_id", "split").itertuples(index=False):
        image_id, side = str(row.image_id), str(row.split)
        path = crops / f"{image_id}.png"
        if image_id not in texts.index or image_id not in boxes.index or not path.is_file():
            raise EmptyDatasetError(f"{split}: {image_id} has no crop or no caption; run `dvc repro`")
        if side not in sides:
            raise EmptyDatasetError(f"{split}: {image_id} is in {side!r}, expected train or val")
        caption = str(texts[image_id])
        if token.lower() not in caption.lower():
            raise CaptionError(f"{captions}: the caption of {image_id} lacks the rare token {token!r}: {caption!r}")
        side_px = float(str(boxes["right"][image_id])) - float(str(boxes["left"][image_id]))
        _check_side(path, resolution)
        mask = crops / layout.MASKS / path.name
        known = mask.is_file() and LARGEST not in str(boxes["warning"][image_id])
        sides[side].append(Item(image_id, path, caption, side_px, mask if known else None))
    for side, items in sides.items():
        if not items:
            raise EmptyDatasetError(f"{split}: no photo on the {side} side; add photos to data/raw")
    return Dataset(sides["train"], sides["val"])


def load_class_images(folder: Path, prompt: str, resolution: int) -> list[Item]:
    """Lists the class images of prior preservation.

    Args:
        folder: Where the stage class_images wrote them.
        prompt: Their caption.
        resolution: Side that the model generates, pixels.

    Returns:
        At least one item.

    Raises:
        ConfigError: An image was generated at another resolution.
        EmptyDatasetError: There are none.
        BadPhotoError: An image cannot be read.
    """
    paths = sorted(folder.glob("*.png"))
    if not paths:
        raise EmptyDatasetError(
            f"{folder}: prior.weight above 0 needs class images, found none: `python -m src.stages.class_images` with "
            "the same overrides generates them"
        )
    for path in paths:
        _check_side(path, resolution)
    return [Item(path.stem, path, prompt, float(resolution), None) for path in paths]


def _check_side(path: Path, resolution: int) -> None:
    try:
        with Image.open(path) as image:
            size = image.size
    except OSError as error:
        raise BadPhotoError(f"{path}: cannot be read ({error}); run `dvc repro`") from error
    if size != (resolution, resolution):
        raise ConfigError(
            f"{path} is {size[0]} x {size[1]} pixels, but model.resolution={resolution}: let `dvc exp run` with the "
            "same -S (or `dvc repro`) make the crops for this model first"
        )
