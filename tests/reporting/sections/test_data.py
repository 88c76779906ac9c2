"""The data section: near-duplicate groups with their side, and what makes the held-out photos a poor test."""

import pandas as pd

from src.reporting.inputs import read_inputs
from src.reporting.sections.data import data_page
from src.reporting.texts import load_texts


def test_data_page_shows_each_group_on_one_side(project):
    page = data_page(read_inputs(project), load_texts("en"))
    shown = [([member.source for member in group.members], group.members[0].side, group.kinds) for group in page.groups]
    assert shown == [
        (["IMG_4632.HEIC", "IMG_4633.HEIC"], "train", "one is mirrored"),
        (["IMG_4638.HEIC", "IMG_4639.HEIC"], "train", "taken within seconds"),
    ]
    assert [fact for photo in page.photos[2:4] for fact in photo.facts if "group" in fact] == [
        "near-duplicate group 1"
    ] * 2
    assert "subject 31% of the crop" in page.photos[0].facts


def test_data_page_warns_as_the_split_does_in_either_language(own_project):
    crops = own_project / "data/crops/crops.csv"
    table = pd.read_csv(crops, dtype=str, keep_default_na=False)
    table.loc[4, "subject_share"] = "0.01"
    table.to_csv(crops, index=False)
    split = own_project / "data/split.csv"
    sides = pd.read_csv(split, dtype=str)
    assert list(sides["image_id"][sides["split"] == "val"]) == [table["image_id"][n] for n in (4, 9)]
    inputs = read_inputs(own_project)
    english = data_page(inputs, load_texts("en")).warnings
    assert [warning.split(":")[0] for warning in english] == [
        "Near-duplicate groups to measure on",
        "Held-out photos that show next to none of the subject, so they are no fair test (1)",
    ]
    assert english[1].endswith("IMG_4634.HEIC")
    assert "IMG_4634.HEIC" in data_page(inputs, load_texts("ru")).warnings[1]
