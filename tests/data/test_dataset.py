import pandas as pd
import pytest
from PIL import Image

from src.core.errors import BadPhotoError, ConfigError, EmptyDatasetError
from src.core.files import write_csv
from src.data.cropping.box import LARGEST
from src.data.dataset import load_class_images, load_dataset


@pytest.fixture
def data(tmp_path):
    """Two photos, cropped for 64 px."""
    names = ["a", "b"]
    (tmp_path / "crops").mkdir()
    for name in names:
        Image.new("RGB", (64, 64)).save(tmp_path / f"crops/{name}.png")
    boxes = {"image_id": names, "left": [10, 0], "right": [110, 300], "warning": ["", ""]}
    write_csv(tmp_path / "crops/crops.csv", pd.DataFrame(boxes))
    write_csv(tmp_path / "captions.csv", pd.DataFrame({"image_id": names, "caption": ["a sksToy toy"] * 2}))
    write_csv(tmp_path / "split.csv", pd.DataFrame({"image_id": names, "split": ["train", "val"]}))
    return tmp_path


def load(data, resolution):
    return load_dataset(data / "crops", data / "captions.csv", data / "split.csv", "sksToy", resolution)


def test_both_sides_come_with_captions_and_sizes(data):
    found = load(data, 64)
    assert [(item.image_id, item.caption, item.size_px) for item in found.train] == [("a", "a sksToy toy", 100.0)]
    assert [(item.image_id, item.size_px) for item in found.val] == [("b", 300.0)]


@pytest.mark.parametrize(
    ("warning", "known"),
    [("", True), ("enlarged 3 times", True), (f"several things stand out: {LARGEST}; enlarged 3 times", False)],
)
def test_masks_that_are_there_and_not_doubted_are_found(data, warning, known):
    assert load(data, 64).train[0].mask is None
    mask = data / "crops/masks/a.png"
    mask.parent.mkdir()
    Image.new("L", (64, 64)).save(mask)
    boxes = {"image_id": ["a", "b"], "left": [10, 0], "right": [110, 300], "warning": [warning, ""]}
    write_csv(data / "crops/crops.csv", pd.DataFrame(boxes))
    found = load(data, 64)
    assert (found.train[0].mask, found.val[0].mask) == (mask if known else None, None)


def test_crops_for_another_resolution_are_refused(data):
    with pytest.raises(ConfigError, match=r"a\.png is 64 x 64 pixels, but model\.resolution=512: let `dvc exp run`"):
        load(data, 512)
    with pytest.raises(ConfigError, match=r"64 x 64 pixels, but model\.resolution=32"):
        load_class_images(data / "crops", "a toy", 32)
    assert [item.size_px for item in load_class_images(data / "crops", "a toy", 64)] == [64.0, 64.0]


@pytest.mark.parametrize("folder", ["crops/none", "nowhere"])
def test_missing_class_images_say_which_command_generates_them(data, folder):
    with pytest.raises(
        EmptyDatasetError, match=r"needs class images, found none: `python -m src\.stages\.class_images`"
    ):
        load_class_images(data / folder, "a toy", 64)


def test_a_damaged_crop_is_named(data):
    (data / "crops/b.png").write_bytes(b"no picture")
    with pytest.raises(BadPhotoError, match=r"b\.png: cannot be read"):
        load(data, 64)
