import os

import numpy as np
import pytest
import torch
from PIL import Image

from src.core.errors import BadPhotoError, ConfigError, EmptyDatasetError
from src.pretraining.folders import export_class_folders, load_class_folders
from tests.pretraining.conftest import image_set


def load(folder, part="train", resolution=8, val_fraction=0.0, seed=0):
    return load_class_folders(str(folder), resolution, part, val_fraction, seed)


def picture(path, size=(12, 12), colour=(200, 30, 40), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode).save(path, **options)


def test_export_and_load_give_the_same_images(tmp_path):
    images = image_set(12, 0)
    export_class_folders(images, tmp_path / "out")
    loaded = load(tmp_path / "out")
    order = images.labels.argsort(stable=True)
    assert torch.equal(loaded.pixels, images.pixels[order])
    assert torch.equal(loaded.labels, images.labels[order])
    assert loaded.classes == images.classes
    assert loaded.captions is None
    with pytest.raises(ConfigError, match="exists"):
        export_class_folders(images, tmp_path / "out")


def test_any_size_mode_and_format_is_taken(tmp_path):
    for index, (suffix, mode) in enumerate(
        [("jpg", "RGB"), ("jpeg", "L"), ("png", "RGBA"), ("png", "P"), ("png", "1"), ("webp", "RGB"), ("bmp", "RGB")]
    ):
        picture(tmp_path / "a" / f"{index}.{suffix}", (9 + 5 * index, 30 - 2 * index), (200, 200, 200), mode)
    (tmp_path / "a" / "notes.txt").write_text("a sidecar")
    (tmp_path / "a" / ".hidden").write_text("junk")
    (tmp_path / ".cache").mkdir()
    images = load(tmp_path)
    assert images.pixels.shape == (7, 3, 8, 8)
    assert images.classes == ["a"]
    # black and white is dithered; the nearest grey of the palette is 204
    kept = [row for row in range(7) if row != 4]
    assert (images.pixels[kept].int() - 200).abs().max() <= 5


def test_images_are_cropped_to_their_middle_and_turned_upright(tmp_path):
    # a landscape of three squares: red, green, blue
    stripes = np.zeros((16, 48, 3), dtype=np.uint8)
    for index in range(3):
        stripes[:, 16 * index : 16 * (index + 1), index] = 255
    (tmp_path / "a").mkdir()
    Image.fromarray(stripes).save(tmp_path / "a" / "0.png")
    # upper half white, lower half black, and Exif says that the sensor stood on its head
    half = np.zeros((16, 16, 3), dtype=np.uint8)
    half[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(half).save(tmp_path / "a" / "1.png", exif=exif)
    middle, turned = load(tmp_path).pixels
    assert middle.float().mean((1, 2)).tolist() == [0, 255, 0]
    assert turned[:, :3].max() < 40
    assert turned[:, 5:].min() > 215


def test_resizing_is_antialiased(tmp_path):
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    (tmp_path / "a").mkdir()
    for name in ("0.png", "1.png"):
        Image.fromarray(board).save(tmp_path / "a" / name)
    assert (load(tmp_path).pixels.float() - 127.5).abs().max() <= 12


def test_split_is_disjoint_complete_and_moves_no_image_when_others_are_added(tmp_path):
    images = image_set(60, 0)
    export_class_folders(images, tmp_path / "out")
    train, val = (load(tmp_path / "out", part, val_fraction=0.3, seed=1) for part in ("train", "val"))
    assert len(train) + len(val) == 60
    # 60 generates of 0.3: 18 with a deviation of 3.5
    assert 8 <= len(val) <= 28
    found = torch.cat([train.pixels, val.pixels]).flatten(1).unique(dim=0)
    assert len(found) == 60
    assert train.classes == val.classes
    picture(tmp_path / "out" / "cat" / "another.png")
    picture(tmp_path / "out" / "ant" / "first.png")
    known = {image.numpy().tobytes() for image in val.pixels}
    held_out = {image.numpy().tobytes() for image in load(tmp_path / "out", "val", val_fraction=0.3, seed=1).pixels}
    assert known <= held_out
    other = load(tmp_path / "out", "val", val_fraction=0.3, seed=2)
    assert known != {image.numpy().tobytes() for image in other.pixels}


def test_separate_folders_are_taken_whole(tmp_path):
    for part in ("train", "test"):
        export_class_folders(image_set(6, 0), tmp_path / part)
    assert len(load(tmp_path / "train", "train", val_fraction=0.0)) == 6
    assert len(load(tmp_path / "test", "val", val_fraction=1.0)) == 6
    # the folder above them is no folder of class folders
    with pytest.raises(BadPhotoError, match="a folder inside of a class folder"):
        load(tmp_path)


def test_images_in_no_class_folder_are_one_class(tmp_path):
    for name in ("b.png", "a.jpg"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("a sidecar")
    images = load(tmp_path)
    assert (images.classes, images.labels.tolist()) == (["images"], [0, 0])


def test_captions_go_with_their_images_into_either_part(tmp_path):
    export_class_folders(image_set(24, 0), tmp_path / "out")
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    (tmp_path / "out/captions.txt").write_text("".join(f"{name}|about {name}\n" for name in names))
    parts = [load_class_folders(str(tmp_path / "out"), 8, part, 0.4, 1, captions=True) for part in ("train", "val")]
    texts = [part.captions.texts for part in parts]
    assert min(map(len, texts)) > 2
    assert sorted(texts[0] + texts[1]) == sorted(f"about {name}" for name in names)
    for part in parts:
        classes = [part.classes[label] for label in part.labels]
        assert [part.captions.text(row, 0).split()[1].split("/")[0] for row in range(len(part))] == classes


def test_folders_that_are_missing_or_empty_are_named(tmp_path):
    with pytest.raises(EmptyDatasetError, match="no such folder"):
        load(tmp_path / "none")
    with pytest.raises(EmptyDatasetError, match="no class folder"):
        load(tmp_path)
    picture(tmp_path / "a" / "0.png")
    with pytest.raises(EmptyDatasetError, match="expected 2 images or more in the part train, found 1"):
        load(tmp_path)
    picture(tmp_path / "a" / "1.png")
    load(tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.txt").write_text("no image")
    with pytest.raises(EmptyDatasetError, match=r"b: an empty class folder"):
        load(tmp_path)


def test_every_unreadable_image_is_named(tmp_path):
    for name in ("0.png", "1.jpg", "2.bmp"):
        picture(tmp_path / "a" / name, (40, 40))
        path = tmp_path / "a" / f"cut-{name}"
        whole = (tmp_path / "a" / name).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    (tmp_path / "a" / "text.png").write_text("no picture")
    with pytest.raises(BadPhotoError) as caught:
        load(tmp_path)
    for name in ("cut-0.png", "cut-1.jpg", "cut-2.bmp", "text.png"):
        assert f"{name}: " in str(caught.value)
    assert "a/0.png" not in str(caught.value)


@pytest.mark.parametrize("change", [{"part": "test"}, {"val_fraction": 1.5}, {"resolution": 0}])
def test_values_out_of_range_are_refused(change, tmp_path):
    with pytest.raises(ConfigError, match=next(iter(change))):
        load(tmp_path, **change)


def test_a_pipe_in_a_class_folder_is_refused_at_once(tmp_path):
    (tmp_path / "cats").mkdir()
    os.mkfifo(tmp_path / "cats/a.png")
    with pytest.raises(BadPhotoError, match=r"a\.png: not a regular file"):
        load_class_folders(str(tmp_path), 8, "train", 0.0, 0)
