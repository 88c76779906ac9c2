"""Fingerprints: sharpness falls with blur, hashes of one scene are close, groups are stable."""

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from src.data.photos.fingerprint import grey_version, near_duplicate_groups, perceptual_hash, sharpness
from tests.data.photos.samples import noise, scene


def phash(image):
    return perceptual_hash(grey_version(image))


def distance(first, second):
    return (phash(first) ^ phash(second)).bit_count()


def test_sharpness_falls_with_blur_and_is_zero_for_a_flat_picture():
    picture = noise()
    values = [sharpness(grey_version(picture.filter(ImageFilter.GaussianBlur(r)))) for r in (0, 1, 3)]
    assert values == sorted(values, reverse=True)
    assert sharpness(grey_version(Image.new("RGB", (900, 700), "grey"))) == 0


def test_grey_version_has_one_size_whatever_the_photo():
    for size in ((4000, 3000), (40, 30), (512, 384)):
        assert grey_version(Image.new("RGB", size)).shape == (384, 512)
    assert grey_version(Image.new("RGB", (5000, 2))).shape == (1, 512)


def test_perceptual_hash_survives_recompression_and_brightness_but_not_another_scene():
    photo = scene(640, 480)
    assert distance(photo, photo.resize((320, 240))) <= 6
    assert distance(photo, ImageEnhance.Brightness(photo).enhance(0.8)) <= 6
    assert distance(photo, scene(640, 480, seed=5)) > 16
    assert 0 <= phash(photo) < 2**64


def test_perceptual_hash_of_flat_pictures_does_not_hang_on_rounding():
    assert phash(Image.new("RGB", (300, 200), (10, 20, 30))) == phash(Image.new("RGB", (300, 200), (10, 20, 30)))


def test_near_duplicate_groups_join_through_others_and_take_the_smallest_name():
    hashes = {"c": 0b0, "a": 0b11, "b": 0b1111, "d": 2**64 - 1}
    assert near_duplicate_groups(hashes, 2) == {"a": "a", "b": "a", "c": "a", "d": "d"}
    assert near_duplicate_groups(hashes, 0) == {name: name for name in hashes}
    assert set(near_duplicate_groups(hashes, 64).values()) == {"a"}
    assert near_duplicate_groups({}, 2) == {}


def test_near_duplicate_groups_do_not_depend_on_order():
    rng = np.random.default_rng(0)
    hashes = {f"p{i}": int(rng.integers(0, 2**16)) for i in range(40)}
    shuffled = {name: hashes[name] for name in rng.permutation(sorted(hashes))}
    assert near_duplicate_groups(hashes, 3) == near_duplicate_groups(shuffled, 3)
