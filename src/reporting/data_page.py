"""The data section: each photo with its crop box, crop, caption and side of the split; refused photos; tokens."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from src.reporting.inputs import Inputs, existing_image
from src.reporting.texts import Texts
from src.reporting.thumbnails import SMALL_PX, Box, boxed_thumbnail, encode_all, thumbnail


@dataclass(frozen=True)
class PhotoRow:
    """A photo that was used.

    Attributes:
        source: Its name in data/raw.
        photo: A data address, with the crop box drawn.
        crop: A data address.
        caption: What the model was told.
        author: Who wrote the caption.
        side: ``train``, ``val`` or empty.
        facts: What else is known of it, ready to print.
        warning: The cropper's warning, or empty.
    """

    source: str
    photo: str
    crop: str
    caption: str
    author: str
    side: str
    facts: tuple[str, ...]
    warning: str


@dataclass(frozen=True)
class DataPage:
    """The data section."""

    intro: str
    photos: tuple[PhotoRow, ...]
    refused: tuple[tuple[str, str], ...]
    token_columns: tuple[str, ...]
    token_rows: tuple[tuple[str, ...], ...]


def data_page(inputs: Inputs, texts: Texts) -> DataPage:
    """Builds the data section.

    Args:
        inputs: The tables.
        texts: The words.

    Returns:
        Pictures and text, in the order of images.csv.
    """
    refused = inputs.images[inputs.images["status"] != "ok"]
    sides = inputs.split["split"].value_counts().to_dict()
    intro = texts(
        "data.intro",
        total=len(inputs.images),
        used=len(inputs.crops),
        refused=len(refused),
        train=sides.get("train", 0),
        val=sides.get("val", 0),
        groups=inputs.split["group"].nunique(),
    )
    return DataPage(
        intro=intro,
        photos=_photo_rows(inputs, texts),
        refused=tuple(refused[["source", "reason"]].itertuples(index=False, name=None)),
        token_columns=tuple(inputs.tokens.columns),
        token_rows=tuple(inputs.tokens.itertuples(index=False, name=None)),
    )


def _photo_rows(inputs: Inputs, texts: Texts) -> tuple[PhotoRow, ...]:
    split = inputs.split[["image_id", "split"]]
    captions = inputs.captions[["image_id", "caption", "source"]].rename(columns={"source": "author"})
    photos = inputs.images[["image_id", "source", "sharpness", "group"]]
    table = photos.merge(inputs.crops, on="image_id").merge(captions, on="image_id", how="left")
    table = table.merge(split, on="image_id", how="left").fillna("")
    rows = [row for _, row in table.iterrows()]
    shown = encode_all(partial(_boxed, inputs), rows)
    crops = encode_all(partial(_crop, inputs), rows)
    numbers = _group_numbers(table["group"])
    return tuple(
        PhotoRow(
            source=row["source"],
            photo=photo,
            crop=crop,
            caption=row["caption"],
            author=_author(row["author"], texts),
            side=row["split"],
            facts=_facts(row, numbers, texts),
            warning=row["warning"],
        )
        for row, photo, crop in zip(rows, shown, crops, strict=True)
    )


def _boxed(inputs: Inputs, row: pd.Series) -> str:
    left, top, right, bottom = (float(row[edge]) for edge in ("left", "top", "right", "bottom"))
    box: Box = (left, top, right, bottom)
    return boxed_thumbnail(_image(inputs, "images", row["image_id"], "convert"), box, SMALL_PX)


def _crop(inputs: Inputs, row: pd.Series) -> str:
    return thumbnail(_image(inputs, "crops", row["image_id"], "crop"), SMALL_PX)


def _image(inputs: Inputs, folder: str, image_id: str, stage: str) -> Path:
    return existing_image(inputs.root, f"data/{folder}/{image_id}.png", stage)


def _group_numbers(groups: pd.Series) -> dict[str, int]:
    shared = [name for name, count in groups.value_counts(sort=False).items() if count > 1]
    return {str(name): number for number, name in enumerate(shared, start=1)}


def _author(source: str, texts: Texts) -> str:
    if not source:
        return ""
    return texts("data.by_user") if source == "user" else texts("data.by_model", source=source)


def _facts(row: pd.Series, numbers: dict[str, int], texts: Texts) -> tuple[str, ...]:
    facts = [f"{row['cropper']}"]
    if row["sharpness"]:
        facts.append(f"{texts('data.sharpness')} {float(row['sharpness']):.3g}")
    if row["group"] in numbers:
        facts.append(texts("data.group", number=numbers[row["group"]]))
    return tuple(facts)
