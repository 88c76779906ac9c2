import numpy as np
import pillow_heif
import pytest

from src.data import sample_photos
from src.data.sample_photos import OWNER, plan_shots, render, write_sample_photos


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(sample_photos, "WIDTH", 64)
    monkeypatch.setattr(sample_photos, "HEIGHT", 48)


def test_photos_are_heic_as_a_phone_stores_them(tmp_path):
    write_sample_photos(tmp_path, 6, seed=0)
    files = sorted(tmp_path.iterdir())
    assert [f.name for f in files][:2] == ["IMG_4100.HEIC", "IMG_4101.HEIC"]
    for file, shot in zip(files, plan_shots(6, 0), strict=True):
        heif = pillow_heif.open_heif(file)
        assert heif.size == (64, 48), "libheif turns the sensor's pixels upright"
        assert OWNER.encode() in heif.info["exif"]
        error = np.abs(np.asarray(heif).astype(int) - np.asarray(render(shot)).astype(int)).mean()
        assert error < 12, shot


def test_photos_are_repeatable_and_the_second_nearly_repeats_the_first(tmp_path):
    shots = list(plan_shots(5, 0))
    first, second, third = (np.asarray(render(shot)).astype(int) for shot in shots[:3])
    assert np.array_equal(first, np.asarray(render(shots[0])))
    assert 0 < np.abs(first - second).mean() < 5 < np.abs(first - third).mean()
    assert shots[4].distance > 2 * shots[0].distance * 0.7
