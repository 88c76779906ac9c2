import numpy as np
import pandas as pd
import pytest
import torch

from src.core.errors import ConfigError, EmptyDatasetError
from src.tabletop.sources import load_pictures, load_world, render_subject
from src.tabletop.world import IMAGES, MASKS, SCENES, write_array

SIDE = 8


@pytest.fixture
def world(tmp_path):
    random = np.random.default_rng(0)
    write_array(tmp_path / IMAGES, random.integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8))
    write_array(tmp_path / MASKS, np.kron(random.integers(0, 2, (3, 4, 4)), np.ones((2, 2))).astype(np.uint8))
    pd.DataFrame({"name": ["mug", "bear", "mug"]}).to_csv(tmp_path / SCENES, index=False)
    return tmp_path


def test_load_world_keeps_every_byte(world):
    images = load_world(str(world))
    assert np.array_equal(images.pixels.permute(0, 2, 3, 1).numpy(), np.load(world / IMAGES))
    assert np.array_equal(images.masks.numpy(), np.load(world / MASKS))
    assert images.classes == ["bear", "mug"]
    assert images.labels.tolist() == [1, 0, 1]


def test_mirrored_pictures_follow_with_masks_and_captions(world):
    once, twice = load_world(str(world)), load_world(str(world), mirrored=True)
    assert len(twice) == len(twice.masks) == len(twice.captions.scenes) == 6
    assert torch.equal(twice.pixels[:3], once.pixels)
    assert torch.equal(twice.pixels[4, :, :, 0], once.pixels[1, :, :, -1])
    assert torch.equal(twice.masks[3:], once.masks.flip(2))
    assert twice.labels.tolist() == [1, 0, 1, 1, 0, 1]
    assert twice.captions.scenes[3:] == once.captions.scenes


def test_load_world_names_the_command_that_renders_it(tmp_path):
    with pytest.raises(EmptyDatasetError, match="dvc repro"):
        load_world(str(tmp_path))


def test_pictures_of_several_folders_are_joined(tmp_path):
    for name, count, side in (("a", 2, 8), ("b", 3, 8), ("c", 1, 16)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "images.npy", np.full((count, side, side, 3), count, dtype=np.uint8))
    found = load_pictures([str(tmp_path / "a"), str(tmp_path / "b")])
    assert found.pixels[:, 0, 0, 0].tolist() == [2, 2, 3, 3, 3]
    assert found.resolution == 8
    with pytest.raises(ConfigError, match="pictures of 8, 16 px"):
        load_pictures([str(tmp_path / "a"), str(tmp_path / "c")])
    with pytest.raises(EmptyDatasetError, match=r"images\.npy is not there"):
        load_pictures([str(tmp_path / "d")])


def test_the_subject_is_rendered_on_every_ground_from_new_sides():
    rendered = render_subject(3, 16, 0)
    assert rendered.pixels.shape == (3, 3, 16, 16)
    assert torch.equal(rendered.pixels, render_subject(3, 16, 0).pixels)
    assert not torch.equal(rendered.pixels, render_subject(3, 16, 1).pixels)
