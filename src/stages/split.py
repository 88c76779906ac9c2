"""Splits the photos into train and val, and names what makes the held-out ones a poor test.

Reads data/captions.csv, data/images/images.csv and data/crops/crops.csv, writes data/split.csv.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from src.core import layout
from src.core.app import Stage
from src.core.errors import CaptionError
from src.core.files import write_csv
from src.core.tables import read_table
from src.data.fairness import FEW_PHOTOS, Concern, SplitPhoto, concerns
from src.data.splitting import FEW_GROUPS, Side, split_images

WORDS = {
    "few_photos": f"{{count}} photos are few: from {FEW_PHOTOS} on two or more are held out; add some to data/raw",
    "few_groups": f"{{count}} near-duplicate groups to measure on, fewer than {FEW_GROUPS}: scores are mostly luck",
    "val_unseen": "{count} held-out photos show next to none of the subject: {names}",
    "train_unseen": "{count} photos to train on show next to none of the subject: {names}",
    "val_doubtful": "{count} held-out photos have a crop with a warning: {names}",
}


@dataclass(frozen=True)
class SplitRecord:
    """One row of split.csv."""

    image_id: str
    group: str
    split: Side


def split_photos(captions: Path, images: Path, out: Path, val_fraction: float, seed: int) -> list[SplitRecord]:
    """Writes each captioned photo's side.

    Args:
        captions: captions.csv, which names the photos to split.
        images: images.csv, which knows their near-duplicate groups.
        out: The table to write.
        val_fraction: The wanted share of photos in val, in (0, 1).
        seed: The seed of the split.

    Returns:
        The rows, in order of the image ids.

    Raises:
        CaptionError: captions.csv names a photo twice, or one that images.csv does not know.
    """
    ids = read_table(captions, "image_id")["image_id"]
    table = read_table(images, "image_id", "group")
    known = dict(zip(table["image_id"], table["group"], strict=True))
    if wrong := sorted({*ids[ids.duplicated()], *(set(ids) - set(known))}):
        raise CaptionError(f"{captions}: expected each photo of {images} once, found {', '.join(wrong)}")
    sides = split_images({image_id: known[image_id] for image_id in ids}, val_fraction, seed)
    records = [SplitRecord(image_id, known[image_id], side) for image_id, side in sides.items()]
    write_csv(out, pd.DataFrame([asdict(record) for record in records]))
    return records


def describe_photos(records: Sequence[SplitRecord], images: Path, crops: Path) -> list[SplitPhoto]:
    """Joins the split with what convert and crop know of each photo.

    Args:
        records: The split.
        images: images.csv.
        crops: crops.csv.

    Returns:
        A photo per record, in their order.
    """
    sources = read_table(images, "image_id", "source").set_index("image_id")["source"]
    table = read_table(crops, "image_id", "subject_share", "warning").set_index("image_id")
    shares, warnings = dict(table["subject_share"]), dict(table["warning"])
    return [
        SplitPhoto(
            sources[record.image_id],
            record.group,
            record.split,
            float(shares[record.image_id]) if shares[record.image_id] else None,
            warnings[record.image_id],
        )
        for record in records
    ]


def summarise(records: Sequence[SplitRecord], found: Sequence[Concern]) -> str:
    """Returns a line with the size of each side, and one for each concern."""
    val = [record for record in records if record.split == "val"]
    groups = len({record.group for record in val})
    first = f"split: {len(records) - len(val)} photos to train on, {len(val)} held out ({groups} near-duplicate groups)"
    return "\n".join(
        [first]
        + [
            f"split: warning: {WORDS[concern.kind].format(count=concern.count, names=', '.join(concern.sources))}"
            for concern in found
        ]
    )


def main() -> None:
    """Runs the stage."""

    def run(val_fraction: float, seed: int) -> None:
        records = split_photos(layout.CAPTIONS, layout.IMAGE_TABLE, layout.SPLIT, val_fraction, seed)
        print(summarise(records, concerns(describe_photos(records, layout.IMAGE_TABLE, layout.CROP_TABLE))))

    Stage("split", lambda params: run(params.split.val_fraction, params.split.seed), writes=layout.SPLIT).main()


if __name__ == "__main__":
    main()
