"""The crop stage: a square per usable photo, the box beside it, nothing half done."""

import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from src.core.config import compose
from src.core.errors import BadPhotoError, ConfigError, EmptyDatasetError
from src.core.files import sha256_tree, write_csv
from src.data.cropping.box import Box, CentreCropper
from src.stages.crop import crop_images, summarise

SIZES = {"b-2": (120, 80), "a-1": (60, 90), "c-3": (20, 30)}


class RefusingCropper(CentreCropper):
    """Finds nothing in photos 60 pixels wide or less."""

    name = "refusing"

    def find(self, image):
        if image.width <= 60:
            raise BadPhotoError("no subject")
        return super().find(image)


class MaskingCropper(CentreCropper):
    """Finds the photo's left half, and looks 10 pixels beyond its upper and lower edges."""

    name = "masking"

    def find(self, image):
        mask = np.zeros((4, 4), dtype=bool)
        mask[:, :2] = True
        return Box(0, -10, image.height + 20, image.height + 10, "", mask)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for image_id, (width, height) in SIZES.items():
        pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{image_id}.png")
    table = {
        "image_id": [*SIZES, "d-4"],
        "source": ["b.HEIC", "a.HEIC", "c.HEIC", "d.HEIC"],
        "status": ["ok", "ok", "ok", "refused"],
    }
    write_csv(folder / "images.csv", pd.DataFrame(table))
    return folder


def test_crop_images_writes_a_square_for_each_usable_photo(images, tmp_path):
    out = tmp_path / "crops"
    records = crop_images(images, out, CentreCropper(), 32, 1.5)
    assert sorted(path.name for path in out.iterdir()) == ["a-1.png", "b-2.png", "c-3.png", "crops.csv"]
    table = pd.read_csv(out / "crops.csv", keep_default_na=False)
    assert list(table.columns) == [
        "image_id",
        "left",
        "top",
        "right",
        "bottom",
        "scale",
        "cropper",
        "subject_share",
        "warning",
    ]
    assert table.to_dict("records") == [record.__dict__ | {"subject_share": ""} for record in records]
    assert {record.subject_share for record in records} == {None}
    assert list(table["image_id"]) == sorted(SIZES)
    assert (table["right"] - table["left"] == table["bottom"] - table["top"]).all()
    for image_id in SIZES:
        with Image.open(out / f"{image_id}.png") as crop:
            assert (crop.size, crop.mode, crop.info) == ((32, 32), "RGB", {})


def test_crop_images_shows_count_rate_and_time_left(images, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("src.core.progress.LINES_EVERY_S", 0)
    crop_images(images, tmp_path / "crops", CentreCropper(), 8, 2.0)
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"crop: (\d+) of \1, +[\d.?]+(s/)? photos(/s)?, [\d:?]+ left", last), last


def test_crop_images_warns_of_enlarging(images, tmp_path):
    records = {record.image_id: record for record in crop_images(images, tmp_path / "crops", CentreCropper(), 32, 1.5)}
    assert records["c-3"].scale == 1.6
    assert records["c-3"].warning == "enlarged 1.60 times, more than 1.5: a closer photo would be sharper"
    assert records["a-1"].warning == ""
    assert "warning: c-3: enlarged" in summarise(list(records.values()))


def test_crop_images_takes_the_pixels_of_the_box(images, tmp_path):
    crop_images(images, tmp_path / "crops", CentreCropper(), 80, 2.0)
    with Image.open(images / "b-2.png") as photo, Image.open(tmp_path / "crops" / "b-2.png") as crop:
        assert np.array_equal(np.asarray(crop), np.asarray(photo)[:, 20:100])


def test_masks_lie_beside_the_crops_and_what_is_beyond_the_photo_is_no_subject(images, tmp_path):
    record = {row.image_id: row for row in crop_images(images, tmp_path / "crops", MaskingCropper(), 100, 2.0)}["b-2"]
    with Image.open(tmp_path / "crops/b-2.png") as crop, Image.open(tmp_path / "crops/masks/b-2.png") as mask:
        crop, mask = np.asarray(crop), np.asarray(mask)
    with Image.open(images / "b-2.png") as photo:
        photo = np.asarray(photo)
    assert np.array_equal(crop[10:90], photo[:, :100])
    assert (crop[:10] == photo[0, :100]).all()
    assert (crop[90:] == photo[-1, :100]).all()
    assert mask.shape == (100, 100)
    assert (mask[10:90, :58] == 255).all()
    assert not mask[:10].any()
    assert not mask[90:].any()
    assert not mask[:, 62:].any()
    assert record.subject_share == pytest.approx(0.8 * 0.6, abs=0.01)


def test_crop_images_gives_the_same_bytes_twice(images, tmp_path):
    crop_images(images, tmp_path / "one", MaskingCropper(), 32, 2.0)
    crop_images(images, tmp_path / "two", MaskingCropper(), 32, 2.0)
    assert sha256_tree(tmp_path / "one") == sha256_tree(tmp_path / "two")


def test_crop_images_lists_all_photos_without_a_subject_and_keeps_earlier_crops(images, tmp_path):
    out = tmp_path / "crops"
    crop_images(images, out, CentreCropper(), 32, 2.0)
    before = sha256_tree(out)
    with pytest.raises(BadPhotoError, match=r"(?s)2 of 3 photos.*a\.HEIC: no subject\n  c\.HEIC: no subject"):
        crop_images(images, out, RefusingCropper(), 32, 2.0)
    assert sha256_tree(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crops", "images"]


@pytest.mark.parametrize(("size", "max_upscale", "key"), [(0, 2.0, r"crop\.size"), (32, 0.0, r"crop\.max_upscale")])
def test_crop_images_refuses_numbers_that_are_not_positive(images, tmp_path, size, max_upscale, key):
    with pytest.raises(ConfigError, match=key):
        crop_images(images, tmp_path / "crops", CentreCropper(), size, max_upscale)


def test_crop_images_refuses_a_set_without_usable_photos(images, tmp_path):
    table = pd.DataFrame({"image_id": ["a-1"], "source": ["a.HEIC"], "status": ["refused"]})
    write_csv(images / "images.csv", table)
    with pytest.raises(EmptyDatasetError, match="all 1 photos are refused"):
        crop_images(images, tmp_path / "crops", CentreCropper(), 32, 2.0)


@pytest.mark.parametrize("choice", ["centre", "salient", "face", "detector"])
def test_cropper_choices_compose_and_name_a_class(choice):
    import importlib

    config = compose([f"cropper={choice}"]).cropper
    module, _, name = config["_target_"].rpartition(".")
    assert getattr(importlib.import_module(module), name).name == choice
