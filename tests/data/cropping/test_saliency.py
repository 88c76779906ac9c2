"""The saliency crop: finds a subject, keeps more where it is unsure, and has the toy on real photos."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from src.data.cropping.saliency import SaliencyCropper

PHOTOS = Path(__file__).parents[4] / "shared" / "photos" / "sksToy"
CROPPER = SaliencyCropper(margin=1.35, min_side=0.25)
# Where the toy is, by eye: left, top, right, bottom as shares of the photo. It covers 1 to 4 % of each.
SMALL = {
    "IMG_4659": (0.468, 0.30, 0.672, 0.496),
    "IMG_4660": (0.457, 0.42, 0.614, 0.585),
    "IMG_4661": (0.463, 0.403, 0.566, 0.508),
    "IMG_4662": (0.443, 0.35, 0.58, 0.467),
    "IMG_4665": (0.443, 0.535, 0.626, 0.71),
    "IMG_4666": (0.395, 0.355, 0.566, 0.517),
    "IMG_4667": (0.375, 0.355, 0.545, 0.517),
    "IMG_4668": (0.457, 0.384, 0.598, 0.49),
}


def subject_on_wall(size, centre, radius):
    """A speckled disc on a smoothly shaded wall."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    wall = np.stack([120 + 60 * y / height, 100 + 40 * x / width, np.full(y.shape, 90.0)], axis=-1)
    speckles = np.random.default_rng(0).integers(60, 250, (height, width, 1)) * np.array([1.0, 0.8, 0.4])
    disc = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius**2)[..., None]
    return Image.fromarray(np.where(disc, speckles, wall).clip(0, 255).astype(np.uint8))


def contained(box, subject):
    width = max(0, min(box.right, subject[2]) - max(box.left, subject[0]))
    height = max(0, min(box.bottom, subject[3]) - max(box.top, subject[1]))
    return width * height / ((subject[2] - subject[0]) * (subject[3] - subject[1]))


@pytest.mark.parametrize(
    ("size", "centre", "radius"),
    [((300, 400), (110, 230), 25), ((300, 400), (150, 180), 90), ((400, 300), (260, 120), 40)],
)
def test_saliency_crop_holds_the_subject_and_is_filled_by_it(size, centre, radius):
    box = CROPPER.find(subject_on_wall(size, centre, radius))
    subject = (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)
    assert contained(box, subject) > 0.97
    assert 2 * radius / box.side > 0.45
    assert box.warning == ""


def test_saliency_crop_is_the_same_twice_and_about_the_same_at_twice_the_size():
    image = subject_on_wall((300, 400), (110, 230), 40)
    box = CROPPER.find(image)
    assert CROPPER.find(image) == box
    large = CROPPER.find(image.resize((600, 800), Image.Resampling.BICUBIC))
    assert np.allclose([large.left, large.top, large.side], [2 * box.left, 2 * box.top, 2 * box.side], atol=24)


@pytest.mark.parametrize("size", [(200, 120), (64, 64), (1000, 3), (1, 1)])
def test_saliency_crop_is_the_middle_with_a_warning_where_nothing_stands_out(size):
    box = CROPPER.find(Image.new("RGB", size, (90, 120, 150)))
    assert box.side == min(size)
    assert abs((box.left + box.right) / 2 - size[0] / 2) <= 1
    assert box.warning


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the photos are not here")
def test_saliency_crop_finds_the_small_toy():
    import pillow_heif

    pillow_heif.register_heif_opener()
    found = []
    for name, share in SMALL.items():
        with Image.open(PHOTOS / f"{name}.HEIC") as photo:
            image = ImageOps.exif_transpose(photo).convert("RGB")
        subject = [part * length for part, length in zip(share, image.size * 2, strict=True)]
        box = CROPPER.find(image)
        fill = max(subject[2] - subject[0], subject[3] - subject[1]) / box.side
        found.append(contained(box, subject) > 0.85 and fill > 0.3)
    assert sum(found) >= 7
