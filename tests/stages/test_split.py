"""The split stage: tables in, one table out, without torch."""

import subprocess
import sys

import pandas as pd
import pytest

from src.core.errors import CaptionError, EmptyDatasetError
from src.core.files import write_csv
from src.stages.split import split_photos


def write_tables(folder, groups, captioned=None):
    ids = [f"00{i}-{i:08x}" for i in range(len(groups))]
    write_csv(folder / "images" / "images.csv", pd.DataFrame({"image_id": ids, "group": [ids[g] for g in groups]}))
    write_csv(folder / "captions.csv", pd.DataFrame({"image_id": captioned or ids, "caption": "a photo"}))
    return ids


def run(folder):
    return split_photos(folder / "captions.csv", folder / "images", folder / "split.csv", 0.2, 42)


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


def test_split_stage_does_not_import_torch():
    code = "import sys, src.stages.split; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
