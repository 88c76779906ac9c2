"""Crops: a planted blur is told from sharp photos of any size, an enlarged crop is not called blurred."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from src.data.checks.framing import CropRow, blurred, duplicates, framing, subject_sharpness

SIDE = 256


def textured(seed, side=SIDE):
    """A textured subject on a plain ground, and its mask."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(60, 200, (side // 2, side // 2, 3), dtype=np.uint8))
    crop, mask = Image.new("RGB", (side, side), (200, 200, 200)), Image.new("L", (side, side))
    ImageDraw.Draw(mask).ellipse((side // 4, side // 4, 3 * side // 4, 3 * side // 4), fill=255)
    crop.paste(coarse.resize((side, side), Image.Resampling.BICUBIC), mask=mask)
    return crop, mask


def row(image="a", **values):
    return CropRow(**{"image": image, "group": image, "side": 512, "scale": 1.0, "share": 0.3, "warning": "", **values})


def kinds(found):
    return [(finding.kind, finding.images) for finding in found]


def test_blurred_copy_among_sharp_photos_is_named_and_they_are_not():
    photos = {f"photo-{n}": textured(n) for n in range(5)}
    sharpness = {name: subject_sharpness(*photo, SIDE) for name, photo in photos.items()}
    assert blurred(sharpness, 30, 0.2) == []
    crop, mask = photos["photo-2"]
    sharpness["photo-2"] = subject_sharpness(crop.filter(ImageFilter.GaussianBlur(2)), mask, SIDE)
    found = blurred(sharpness, 30, 0.2)
    assert kinds(found) == [("blurred", ("photo-2",))]
    assert found[0].figure < found[0].threshold


def test_photos_that_are_all_blurred_are_all_named():
    flat = {f"photo-{n}": 12.0 + n for n in range(4)}
    assert len(blurred(flat, 30, 0.2)) == 4
    assert blurred({}, 30, 0.2) == []


def test_blur_of_the_background_is_none_of_the_subject():
    crop, mask = textured(0)
    soft = Image.composite(crop, Image.new("RGB", crop.size, (90, 120, 90)), mask)
    assert subject_sharpness(soft, mask, SIDE) == pytest.approx(subject_sharpness(crop, mask, SIDE), rel=0.05)
    assert subject_sharpness(crop, None, SIDE) != pytest.approx(subject_sharpness(crop, mask, SIDE), rel=0.2)


def test_enlarged_crop_is_as_sharp_as_the_photo_was():
    crop, mask = textured(0, side=128)
    large = crop.resize((512, 512), Image.Resampling.LANCZOS), mask.resize((512, 512))
    assert subject_sharpness(*large, 128) > 0.5 * subject_sharpness(crop, mask, 128)
    assert subject_sharpness(*large, 512) < 0.1 * subject_sharpness(crop, mask, 128)


def test_small_subjects_enlarged_crops_and_doubts_are_named_with_their_limits():
    rows = [
        row("good"),
        row("unknown", share=None),
        row("small", share=0.04),
        row("enlarged", scale=2.5, warning="enlarged 2.50 times, more than 2: a closer photo would be sharper"),
        row("doubt", scale=3.0, warning="several things stand out: kept the largest square; enlarged 3.00 times"),
    ]
    found = framing(rows, least_share=0.1, max_upscale=2.0)
    assert kinds(found) == [
        ("small", ("small",)),
        ("upscaled", ("doubt",)),
        ("upscaled", ("enlarged",)),
        ("crop", ("doubt",)),
    ]
    assert [(finding.figure, finding.threshold) for finding in found[:3]] == [(0.04, 0.1), (3.0, 2.0), (2.5, 2.0)]
    assert found[-1].detail == "several things stand out: kept the largest square"


def test_near_duplicates_are_named_by_group():
    rows = [row("a"), row("b", group="a"), row("c"), row("d", group="c"), row("e", group="c"), row("f")]
    assert kinds(duplicates(rows, 1)) == [("duplicates", ("c", "d", "e")), ("duplicates", ("a", "b"))]
    assert kinds(duplicates(rows, 2)) == [("duplicates", ("c", "d", "e"))]
