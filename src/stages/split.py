"""Splits the photos into train and val. Reads data/captions.csv and data/images/images.csv, writes data/split.csv."""

from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from src.core.app import run_stage
from src.core.errors import CaptionError
from src.core.files import write_csv
from src.core.tables import read_table
from src.data.splitting import Side, split_images


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
        images: The folder with images.csv, which knows their near-duplicate groups.
        out: The table to write.
        val_fraction: The wanted share of near-duplicate groups in val, in (0, 1).
        seed: The seed of the split.

    Returns:
        The rows, in order of the image ids.

    Raises:
        CaptionError: captions.csv names a photo twice, or one that images.csv does not know.
    """
    ids = list(read_table(captions, "image_id")["image_id"])
    table = read_table(images / "images.csv", "image_id", "group")
    known = dict(zip(table["image_id"], table["group"], strict=True))
    if wrong := sorted({i for i in ids if i not in known or ids.count(i) > 1}):
        raise CaptionError(f"{captions}: expected each photo of {images / 'images.csv'} once, found {', '.join(wrong)}")
    sides = split_images({image_id: known[image_id] for image_id in ids}, val_fraction, seed)
    records = [SplitRecord(image_id, known[image_id], side) for image_id, side in sides.items()]
    write_csv(out, pd.DataFrame([asdict(record) for record in records]))
    return records


def main() -> None:
    """Runs the stage."""
    run_stage(
        "split",
        lambda params: print(
            summarise(
                split_photos(
                    Path("data/captions.csv"),
                    Path("data/images"),
                    Path("data/split.csv"),
                    params.split.val_fraction,
                    params.split.seed,
                )
            )
        ),
        writes=Path("data/split.csv"),
    )


def summarise(records: list[SplitRecord]) -> str:
    """Returns one line with the size of each side."""
    val = [record for record in records if record.split == "val"]
    groups = len({record.group for record in val})
    return f"split: {len(records) - len(val)} photos to train on, {len(val)} held out ({groups} near-duplicate groups)"


if __name__ == "__main__":
    main()
