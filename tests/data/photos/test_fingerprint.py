"""Fingerprints: sharpness falls with blur, hashes of one scene are close."""

from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from src.data.photos.duplicates import mirrored_hash
from src.data.photos.fingerprint import grey_version, perceptual_hash, sharpness
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


def test_mirrored_hash_is_near_the_hash_of_the_mirror_image():
    for seed in range(5):
        photo = scene(640, 480, seed=seed)
        assert (
            mirrored_hash(phash(photo)) ^ phash(ImageOps.mirror(photo))
        ).bit_count() <= 8  # of 64; others differ in 32
        assert mirrored_hash(mirrored_hash(phash(photo))) == phash(photo)
