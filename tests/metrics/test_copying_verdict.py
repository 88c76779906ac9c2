"""One rule says whether a run copies: what it says of honest images, of copies, of parts, and of too few."""

import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy.stats import beta

from benchmarks.bench_copying import ATTACKS
from src.features.store import image_file
from src.metrics.copied_parts import part_likeness
from src.metrics.copying_verdict import PART_LEVEL, Said, copying_verdict, whole_limit
from src.metrics.summary import score_table
from tests.metrics.synthetic import score

SIDE = 96
REAL = (0.80, 0.82, 0.84, 0.86, 0.88)


def table(whole, parts, real=REAL, real_parts=(0.6,) * 5):
    rows = []
    for variant, prompt_set, nearest, part in (
        ("step-000010", "test", whole, parts),
        ("real (autoencoder)", "none", real, real_parts),
    ):
        for metric, values in (("nn_train", nearest), ("part_train", part)):
            rows += [score(variant, "t", v, metric, "none", prompt_set, seed) for seed, v in enumerate(values)]
    return score_table(rows)


def said(*args, **kwargs):
    return copying_verdict(table(*args, **kwargs), "step-000010")[0]


HONEST, COPIES = [0.7] * 44 + [0.9] * 4, [0.7] * 12 + [0.95] * 36


@pytest.mark.parametrize(
    ("whole", "parts", "expected"),
    [
        (HONEST, [0.5] * 48, Said.NO_SIGN),
        (COPIES, [0.5] * 48, Said.COPIES),
        (HONEST, [0.5] * 24 + [0.97] * 24, Said.COPIES),
        (HONEST, [0.5] * 47 + [0.97], Said.CANNOT_TELL),
        ([0.7] * 24 + [0.9] * 24, [0.5] * 48, Said.CANNOT_TELL),
        (HONEST[-10:], [0.5] * 10, Said.CANNOT_TELL),
    ],
)
def test_verdict_needs_an_interval_on_one_side_of_the_limit(whole, parts, expected):
    assert said(whole, parts) is expected


def test_no_sign_is_not_said_where_photos_are_as_near_as_changed_copies():
    near = (*REAL[:4], 0.93)
    assert said(HONEST, [0.5] * 48, real=near) is Said.CANNOT_TELL
    assert said(COPIES, [0.5] * 48, real=near) is Said.COPIES


def test_parts_that_held_out_photos_share_are_no_finding():
    assert said(HONEST, [0.5] * 24 + [0.97] * 24, real_parts=(0.96, 0.97, 0.98, 0.96, 0.4)) is Said.NO_SIGN


def test_without_scores_there_is_no_verdict():
    assert copying_verdict(score_table([score("real", "held_out", 0.5)]), "step-000010") is None


@pytest.mark.parametrize(("count", "total"), [(0, 48), (3, 48), (24, 48), (48, 48), (1, 1)])
def test_interval_of_a_share_is_clopper_and_pearsons(count, total):
    """Their two tails, as quantiles of Beta distributions."""
    parts = [0.97] * count + [0.5] * (total - count)
    _, (_, found) = copying_verdict(table(HONEST, parts), "step-000010")
    low = beta.ppf(0.025, count, total - count + 1) if count else 0.0
    high = beta.ppf(0.975, count + 1, total - count) if count < total else 1.0
    assert (found.count, found.total, found.low, found.high) == pytest.approx((count, total, low, high), abs=1e-9)


@pytest.mark.parametrize("photos", [1, 5, 20])
def test_honest_images_exceed_the_limit_in_one_of_twenty_splits(photos):
    assert beta(1, photos).sf(whole_limit(photos)) == pytest.approx(0.05)
    random = np.random.default_rng(photos)
    over = [(random.random(4000) > random.random(photos).max()).mean() > whole_limit(photos) for _ in range(2000)]
    assert 0.035 < np.mean(over) < 0.065


def scene(seed):
    """Coloured blobs: a photo, or a picture of something else."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    picture = np.full((SIDE, SIDE, 3), 120.0)
    for _ in range(14):
        centre, size, colour = random.uniform(0, SIDE, 2), random.uniform(5, 18), random.uniform(-110, 110, 3)
        picture += np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / size**2)[..., None] * colour
    noisy = picture + random.normal(0, 3, picture.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")

    def save(name, picture):
        picture.save(folder / f"{name}.png")
        return image_file(folder / f"{name}.png")

    return save


# of the attacks, those that leave a part of a photo at its place
PARTS = ("copies", "mirrored", "recoloured", "subject pasted on the base's picture", "half photo, half base")
PARTS += ("half the mirrored photo, half base", "prompt written on the photo")


@pytest.mark.parametrize("attack", PARTS)
def test_parts_of_photos_are_found(saved, attack):
    photos = [saved(f"photo-{n}", scene(n)) for n in range(4)]
    images = [saved(f"{attack}-{n}", ATTACKS[attack](scene(n), scene(100 + n))) for n in range(4)]
    assert part_likeness(images, photos).min() > PART_LEVEL


def test_other_pictures_and_flat_ones_have_no_part_of_a_photo(saved):
    photos = [saved(f"photo-{n}", scene(n)) for n in range(4)]
    others = [saved(f"other-{n}", scene(100 + n)) for n in range(8)]
    assert part_likeness(others, photos).max() < 0.85
    flat = saved("flat", Image.new("RGB", (SIDE, SIDE), "grey"))
    assert part_likeness([flat], [*photos, flat]) == 0
    mirrored = saved("mirror", ImageOps.mirror(scene(0)))
    assert part_likeness([mirrored], photos) > PART_LEVEL
