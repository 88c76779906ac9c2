"""The split stage: tables in, one table out, without torch."""

import pandas as pd
import pytest

from src.core.errors import CaptionError, EmptyDatasetError
from src.core.files import write_csv
from src.data.fairness import concerns
from src.stages.split import describe_photos, split_photos, summarise


def write_tables(folder, groups, captioned=None):
    ids = [f"{i:03}-{i:08x}" for i in range(len(groups))]
    images = pd.DataFrame(
        {"image_id": ids, "source": [f"IMG_{i}.HEIC" for i in range(len(groups))], "group": [ids[g] for g in groups]}
    )
    write_csv(folder / "images" / "images.csv", images)
    write_csv(folder / "captions.csv", pd.DataFrame({"image_id": captioned or ids, "caption": "a photo"}))
    return ids


def run(folder):
    return split_photos(folder / "captions.csv", folder / "images" / "images.csv", folder / "split.csv", 0.2, 42)


def test_split_photos_writes_disjoint_sides(tmp_path):
    ids = write_tables(tmp_path, [0, 0, 2, 3, 4, 4, 6, 7, 8, 9])
    run(tmp_path)
    table = pd.read_csv(tmp_path / "split.csv", dtype=str)
    assert list(table.columns) == ["image_id", "group", "split"]
    assert list(table["image_id"]) == ids
    train, val = (table[table["split"] == side] for side in ("train", "val"))
    assert len(train)
    assert len(val)
    assert set(train["group"]).isdisjoint(val["group"])


def test_split_photos_gives_the_same_bytes_twice(tmp_path):
    write_tables(tmp_path, list(range(10)))
    run(tmp_path)
    first = (tmp_path / "split.csv").read_bytes()
    run(tmp_path)
    assert (tmp_path / "split.csv").read_bytes() == first


def test_split_photos_refuses_one_photo_and_keeps_the_earlier_split(tmp_path):
    write_tables(tmp_path, list(range(4)))
    run(tmp_path)
    first = (tmp_path / "split.csv").read_bytes()
    write_tables(tmp_path, [0])
    with pytest.raises(EmptyDatasetError, match="at least 2"):
        run(tmp_path)
    assert (tmp_path / "split.csv").read_bytes() == first


def test_split_photos_refuses_a_caption_of_an_unknown_photo(tmp_path):
    write_tables(tmp_path, [0, 1], captioned=["stranger"])
    with pytest.raises(CaptionError, match="stranger"):
        run(tmp_path)


def test_split_photos_refuses_a_missing_table(tmp_path):
    with pytest.raises(EmptyDatasetError, match=r"captions\.csv"):
        run(tmp_path)


def told(folder, groups, shares, warnings):
    """What the stage prints of photos with these crops."""
    ids = write_tables(folder, groups)
    crops = pd.DataFrame({"image_id": ids, "subject_share": shares, "warning": warnings})
    write_csv(folder / "crops.csv", crops)
    records = run(folder)
    photos = describe_photos(records, folder / "images" / "images.csv", folder / "crops.csv")
    sources = {photo.source: photo.side for photo in photos}
    return summarise(records, concerns(photos)), sources


def test_split_stage_warns_of_photos_without_the_subject_and_says_on_which_side(tmp_path):
    shares = [0.3] * 39
    first, sides = told(tmp_path, list(range(39)), shares, [""] * 39)
    assert first == "split: 31 photos to train on, 8 held out (8 near-duplicate groups)"
    held_out = sorted(source for source, side in sides.items() if side == "val")
    to_train_on = sorted(source for source, side in sides.items() if side == "train")
    numbers = [int(source[4:-5]) for source in (held_out[0], to_train_on[0], held_out[1])]
    shares[numbers[0]], shares[numbers[1]] = 0.029, 0.0
    warnings = ["the rim" if number == numbers[2] else "" for number in range(39)]
    text, _ = told(tmp_path, list(range(39)), shares, warnings)
    assert text.splitlines()[1:] == [
        f"split: warning: 1 held-out photos show next to none of the subject: {held_out[0]}",
        f"split: warning: 1 photos to train on show next to none of the subject: {to_train_on[0]}",
        f"split: warning: 1 held-out photos have a crop with a warning: {held_out[1]}",
    ]


def test_split_stage_warns_of_few_photos_and_of_few_groups_to_measure_on(tmp_path):
    text, _ = told(tmp_path, list(range(6)), [0.3] * 6, [""] * 6)
    assert text.splitlines()[1:] == [
        "split: warning: 6 photos are few: from 10 on two or more are held out; add some to data/raw",
        "split: warning: 2 near-duplicate groups to measure on, fewer than 3: scores are mostly luck",
    ]
    text, _ = told(tmp_path, list(range(15)), [0.3] * 15, [""] * 15)
    assert "warning" not in text


def test_split_stage_takes_a_cropper_without_masks_at_its_word(tmp_path):
    text, _ = told(tmp_path, list(range(15)), [""] * 15, [""] * 15)
    assert "warning" not in text
    text, _ = told(tmp_path, list(range(15)), [""] * 15, ["nothing stands out"] * 15)
    assert "3 held-out photos show next to none of the subject" in text
