"""KID of class images: what a kernel distance must do, and that seeds are paired."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import t
from torch_fidelity.metric_kid import kernel_poly, mmd2

from src.core.errors import MetricError
from src.features.store import ImageFile
from src.metrics.drift import ClassSimilarity, class_kid, kid, kid_interval
from src.metrics.scores import TextSimilarity
from tests.metrics.synthetic import sample
from tests.metrics.test_copying import Store, unit_vectors


def by_hand(first, second):
    pairs = list(permutations(range(len(first)), 2))
    kernel = lambda x, y: (float(x @ y) / len(x) + 1) ** 3  # noqa: E731
    within = np.mean([kernel(side[i], side[j]) for side in (first, second) for i, j in pairs])
    return 2 * within - 2 * np.mean([kernel(first[i], second[j]) for i, j in pairs])


def test_kid_equals_the_formula():
    first, second = unit_vectors(6, 1), unit_vectors(6, 2)
    assert kid(first, second) == pytest.approx(by_hand(first, second), abs=1e-12)


def test_kid_of_a_set_with_itself_is_zero():
    images = unit_vectors(8, 3)
    assert kid(images, images) == pytest.approx(0, abs=1e-12)


def test_kid_does_not_depend_on_the_order_of_seeds():
    first, second = unit_vectors(8, 4), unit_vectors(8, 5)
    order = np.random.default_rng(0).permutation(8)
    assert kid(first[order], second[order]) == pytest.approx(kid(first, second), abs=1e-12)


def test_kid_of_one_distribution_is_zero_on_average():
    values = [kid(unit_vectors(20, (0, n)), unit_vectors(20, (1, n))) for n in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_kid_grows_with_the_distance():
    first, away = unit_vectors(20, 6), np.eye(24)[0]
    moved = [first + shift * away for shift in (0.5, 1.0, 2.0)]
    values = [kid(first, rows / np.linalg.norm(rows, axis=1, keepdims=True)) for rows in moved]
    assert 0 < values[0] < values[1] < values[2]


def test_kid_needs_two_images():
    with pytest.raises(MetricError, match="found 1"):
        kid(unit_vectors(1, 0), unit_vectors(1, 1))


def generated(variant, seed, name):
    return sample(ImageFile(name, name), variant, "class", "class-only", seed)


def test_class_images_are_paired_by_seed():
    features = dict(zip("abcdef", unit_vectors(6, 7), strict=True))
    rows = [generated("base", seed, name) for seed, name in enumerate("abc")]
    rows += [generated("step-000010", seed, name) for seed, name in ((2, "f"), (0, "d"), (1, "e"))]
    found = class_kid([ClassSimilarity("pres", "dino")], rows, Store(features))
    sides = [np.stack([features[name] for name in names]) for names in ("def", "abc")]
    assert {name: one.kid for name, one in found.items()} == {"step-000010": pytest.approx(kid(*sides))}


def test_class_images_of_other_seeds_are_refused():
    features = dict(zip("abcd", unit_vectors(4, 8), strict=True))
    rows = [
        generated("base", 0, "a"),
        generated("base", 1, "b"),
        generated("step-000010", 0, "c"),
        generated("step-000010", 2, "d"),
    ]
    with pytest.raises(MetricError, match="step-000010"):
        class_kid([ClassSimilarity("pres", "dino")], rows, Store(features))


def test_without_pres_there_is_no_kid():
    assert class_kid([TextSimilarity("clip_t", "clip")], [], Store({})) == {}


def test_kid_is_torch_fidelitys_of_the_features_as_the_model_gives_them():
    features = dict(zip("abcdef", 3 * unit_vectors(6, 7), strict=True))
    rows = [generated("base", seed, name) for seed, name in enumerate("abc")]
    rows += [generated("step-000010", seed, name) for seed, name in enumerate("def")]
    sides = [np.stack([features[name] for name in names]) for names in ("def", "abc")]
    published = [kernel_poly(*pair) for pair in ((sides[0],) * 2, tuple(sides), (sides[1],) * 2)]
    found = class_kid([ClassSimilarity("pres", "dino")], rows, Store(features))["step-000010"]
    assert found.kid == pytest.approx(float(mmd2(*published, mmd_est="u-statistic")), abs=1e-12)


@pytest.mark.parametrize(("shift", "least"), [(1.0, 0.9), (0.0, 0.95)])
def test_kid_interval_covers_the_truth(shift, least):
    """Features of paired noise, the second side moved; the truth comes from 2,000 pairs."""

    def pairs(count, seed):
        noise = np.random.default_rng(seed).normal(size=(count, 24))
        other = 0.5 * noise + np.random.default_rng((seed, 1)).normal(size=(count, 24)) * np.sqrt(0.75)
        return noise, other + shift * np.eye(24)[0]

    truth = kid(*pairs(2000, 10**6))
    found = [kid_interval(*pairs(12, seed)) for seed in range(300)]
    assert np.mean([one.low <= truth <= one.high for one in found]) >= least


def test_kid_interval_is_the_jackknifes():
    """Efron (1982), equation 3.5: (N - 1) / N times the squares around the mean of the N values without a pair."""
    first, second = unit_vectors(9, 10), unit_vectors(9, 11)
    without = [kid(np.delete(first, n, axis=0), np.delete(second, n, axis=0)) for n in range(9)]
    half = t(8).ppf(0.975) * np.sqrt(8 / 9 * np.square(without - np.mean(without)).sum())
    found, value = kid_interval(first, second), kid(first, second)
    assert (found.mean, found.low, found.high) == pytest.approx((value, value - half, value + half), abs=1e-12)


def test_kid_of_two_images_has_no_interval():
    assert kid_interval(unit_vectors(2, 0), unit_vectors(2, 1)) is None
