"""The data section: warnings, near-duplicate groups, each photo with crop, mask and side, refused photos, tokens."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from src.core import layout
from src.core.settings import Settings
from src.data.fairness import SplitPhoto, concerns
from src.reporting.inputs import Inputs, existing_image
from src.reporting.pictures import SMALL_PX, Box, boxed_thumbnail, encode_all, masked_thumbnail, thumbnail
from src.reporting.templating import Section
from src.reporting.texts import Texts


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
class Member:
    """A photo of a near-duplicate group: its name, a data address, and the side of its group."""

    source: str
    photo: str
    side: str


@dataclass(frozen=True)
class Group:
    """Near-duplicates.

    Attributes:
        number: As the photos' facts have it, from 1.
        members: Its photos.
        kinds: How they were told besides by their content, ready to print; may be empty.
    """

    number: int
    members: tuple[Member, ...]
    kinds: str


@dataclass(frozen=True)
class DataPage:
    """The data section."""

    intro: str
    warnings: tuple[str, ...]
    groups: tuple[Group, ...]
    photos: tuple[PhotoRow, ...]
    refused: tuple[tuple[str, str], ...]
    token_columns: tuple[str, ...]
    token_rows: tuple[tuple[str, ...], ...]


def section(inputs: Inputs, params: Settings, texts: Texts) -> Section:
    """Builds the section; what was not trained here has no page of what was looked for before."""
    before = layout.DATA_PAGE.name if params.train.steps > 0 else ""
    return Section({"data": data_page(inputs, texts), "before": before})


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
    photos = _photo_rows(inputs, texts)
    return DataPage(
        intro=intro,
        warnings=_warnings(inputs, texts),
        groups=_groups(inputs, texts),
        photos=photos,
        refused=tuple(refused[["source", "reason"]].itertuples(index=False, name=None)),
        token_columns=tuple(inputs.tokens.columns),
        token_rows=tuple(inputs.tokens.itertuples(index=False, name=None)),
    )


def _warnings(inputs: Inputs, texts: Texts) -> tuple[str, ...]:
    """Says what the stage split says, in the page's language."""
    known = inputs.images[["image_id", "source"]]
    table = inputs.split.merge(known, on="image_id").merge(inputs.crops, on="image_id")
    photos = [
        SplitPhoto(source, group, side, float(share) if share else None, warning)
        for source, group, side, share, warning in table[
            ["source", "group", "split", "subject_share", "warning"]
        ].itertuples(index=False, name=None)
    ]
    return tuple(
        texts(f"data.{concern.kind}", count=concern.count, names=", ".join(concern.sources))
        for concern in concerns(photos)
    )


def _groups(inputs: Inputs, texts: Texts) -> tuple[Group, ...]:
    table = inputs.images[["image_id", "source"]].merge(inputs.split, on="image_id")
    members = [row for _, row in table[table["group"].duplicated(keep=False)].iterrows()]
    shown = encode_all(
        lambda row: thumbnail(_image(inputs, layout.IMAGES, row["image_id"], "convert"), SMALL_PX), members
    )
    photos: dict[str, list[Member]] = {}
    for row, photo in zip(members, shown, strict=True):
        photos.setdefault(row["group"], []).append(Member(row["source"], photo, row["split"]))
    group_of = dict(zip(inputs.split["image_id"], inputs.split["group"], strict=True))
    kinds: dict[str, list[str]] = {group: [] for group in photos}
    for first, burst, mirrored in inputs.pairs[["first", "burst", "mirrored"]].itertuples(index=False, name=None):
        # photos without a crop are in no split
        kinds.get(group_of.get(first, ""), []).extend(
            texts(f"data.{kind}") for kind, value in (("burst", burst), ("mirrored", mirrored)) if value == "True"
        )
    numbers = _group_numbers(table["group"])
    return tuple(Group(numbers[group], tuple(photos[group]), ", ".join(sorted(set(kinds[group])))) for group in photos)


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
    return boxed_thumbnail(_image(inputs, layout.IMAGES, row["image_id"], "convert"), box, SMALL_PX)


def _crop(inputs: Inputs, row: pd.Series) -> str:
    path = _image(inputs, layout.CROPS, row["image_id"], "crop")
    mask = path.parent / layout.MASKS / path.name
    return masked_thumbnail(path, mask, SMALL_PX) if mask.is_file() else thumbnail(path, SMALL_PX)


def _image(inputs: Inputs, folder: Path, image_id: str, stage: str) -> Path:
    return existing_image(inputs.root, folder / f"{image_id}.png", stage)


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
    if row["subject_share"]:
        facts.append(texts("data.share", share=f"{float(row['subject_share']):.0%}"))
    if row["group"] in numbers:
        facts.append(texts("data.group", number=numbers[row["group"]]))
    return tuple(facts)
