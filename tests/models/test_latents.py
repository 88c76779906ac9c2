import numpy as np
import pytest
import torch
from PIL import Image

from src.models.latents import encode_images
from src.models.pixels import to_pixels


@pytest.fixture
def photos(tmp_path):
    random = np.random.default_rng(0)
    paths = [tmp_path / f"{name}.png" for name in "ab"]
    for path in paths:
        Image.fromarray(random.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
    return paths


def test_to_pixels_spans_minus_one_to_one():
    image = Image.fromarray(np.array([[[0, 255, 0]]], dtype=np.uint8))
    assert to_pixels(image).flatten().tolist() == [-1.0, 1.0, -1.0]


def test_posteriors_are_those_of_the_vae_and_mirrors_come_second(load_tiny, photos, tmp_path):
    model = load_tiny("sd1")
    posterior = encode_images(model, photos, True, tmp_path / "cache", "vae")
    assert posterior.mean.shape == (2, 2, 4, 8, 8)
    pixels = torch.cat([to_pixels(Image.open(path)) for path in photos])
    for view, batch in enumerate((pixels, pixels.flip(-1))):
        for index in range(2):
            mean, std = model.encode_image(batch[index : index + 1])
            assert torch.equal(posterior.mean[view, index], mean[0])
            assert torch.equal(posterior.std[view, index], std[0])


def test_cache_is_used_and_keyed_by_pixels_and_vae(load_tiny, photos, tmp_path, monkeypatch):
    model, cache = load_tiny("sd1"), tmp_path / "cache"
    first = encode_images(model, photos, False, cache, "vae")
    assert len(list(cache.iterdir())) == 2
    photos[0].rename(tmp_path / "renamed.png")
    again = encode_images(model, [tmp_path / "renamed.png", photos[1]], False, cache, "vae")
    assert torch.equal(first.mean, again.mean)
    assert len(list(cache.iterdir())) == 2
    encode_images(model, photos[1:], False, cache, "another vae")
    assert len(list(cache.iterdir())) == 3
    edited = Image.open(photos[1]).copy()
    edited.putpixel((3, 3), (1, 2, 3))
    edited.save(photos[1])
    changed = encode_images(model, photos[1:], False, cache, "vae")
    assert not torch.equal(changed.mean[0, 0], first.mean[0, 1])
