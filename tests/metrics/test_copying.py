"""Copying: likeness to training photos beyond likeness to held-out ones."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from src.features.store import FeatureStore, ImageFile
from src.metrics.base import ALONE
from src.metrics.copying import TrainingLikeness, copying_summary, expected_maximum, rank_z
from src.metrics.summary import score_table
from tests.metrics.synthetic import photos_of, sample, score


class Store(FeatureStore):
    """Features by file instead of by metric model."""

    def __init__(self, features):
        super().__init__(1, "cpu")
        self.features = features

    def embed_images(self, model, files):  # noqa: ARG002
        return np.stack([self.features[file.sha256] for file in files])

    image_features = embed_images


@pytest.fixture(autouse=True)
def no_pixels(monkeypatch):
    """These files are names alone; parts of pictures have tests of their own."""
    monkeypatch.setattr("src.metrics.copying.part_likeness", lambda images, _: np.zeros(len(images)))


def unit_vectors(count, seed, size=24):
    rows = np.random.default_rng(seed).normal(size=(count, size))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def unrelated(seed):
    """Six held-out, twenty training and ten generated images of independent content, and the store that knows them."""
    names = [f"{side}-{i}" for side, count in (("val", 6), ("train", 20), ("generated", 10)) for i in range(count)]
    store = Store(dict(zip(names, unit_vectors(len(names), seed), strict=True)))
    sides = [
        tuple(ImageFile(name, name) for name in names if name.startswith(side))
        for side in ("val", "train", "generated")
    ]
    return store, photos_of(sides[0], sides[1]), sides[2]


@pytest.fixture
def photos():
    return unrelated(0)


def scores(store, references, samples):
    return TrainingLikeness("nn_train", None, ("test",)).score(samples, references, store)


def values(rows, metric):
    return np.array([row.value for row in rows if row.metric == metric])


def test_expected_maximum_is_the_mean_over_all_subsets():
    numbers = np.random.default_rng(1).normal(size=7)
    for size in range(1, 8):
        by_hand = np.mean([max(subset) for subset in combinations(numbers, size)])
        assert expected_maximum(numbers, size) == pytest.approx(by_hand)


def test_a_repeated_training_photo_is_one_and_has_a_gap(photos):
    store, references, _ = photos
    rows = scores(store, references, [sample(file, seed=i) for i, file in enumerate(references.train)])
    assert values(rows, "nn_train") == pytest.approx(np.ones(20))
    assert values(rows, "copy_gap").mean() > 0.2


def test_repeated_training_photos_are_far_below_zero_in_the_test_of_meehan(photos):
    store, references, _ = photos
    subject_only = [
        sample(file, prompt="subject-only", prompt_set="subject-only", seed=i)
        for i, file in enumerate(references.train)
    ]
    real = [sample(file, "real", "held_out", "none", i) for i, file in enumerate(references.val)]
    found = copying_summary(score_table(scores(store, references, subject_only + real)), "step-000010")
    assert found["meehan_z"] < -3


def test_a_repeated_held_out_photo_has_a_gap_below_zero(photos):
    store, references, _ = photos
    rows = scores(store, references, [sample(file, seed=i) for i, file in enumerate(references.val)])
    assert (values(rows, "copy_gap") < -0.2).all()


def test_more_training_photos_make_no_gap_by_themselves():
    gaps, of_real, naive = [], [], []
    for seed in range(60):
        store, references, generated = unrelated(seed)
        rows = scores(store, references, [sample(file, seed=i) for i, file in enumerate(generated)])
        gaps.append(values(rows, "copy_gap").mean())
        real = [sample(file, "real", "held_out", "none", i) for i, file in enumerate(references.val)]
        of_real.append(values(scores(store, references, real), "copy_gap").mean())
        to_val = [max(store.features[v.sha256] @ store.features[d.sha256] for v in references.val) for d in generated]
        naive.append((values(rows, "nn_train") - to_val).mean())
    standard_error = np.std(gaps) / np.sqrt(len(gaps))
    assert abs(np.mean(gaps)) < 3 * standard_error
    assert abs(np.mean(of_real)) < 3 * np.std(of_real) / np.sqrt(len(of_real))
    assert np.mean(naive) > 10 * standard_error


def test_real_photos_are_compared_with_the_other_held_out_ones(photos):
    store, references, _ = photos
    real = [sample(file, "real", "held_out", "none", i) for i, file in enumerate(references.val)]
    rows = scores(store, references, real)
    first = store.features["val-0"]
    to_train = np.sort([store.features[t.sha256] @ first for t in references.train])
    to_val = max(store.features[v.sha256] @ first for v in references.val[1:])
    assert values(rows, "copy_gap")[0] == pytest.approx(expected_maximum(to_train, 5) - to_val)
    subject_only = scores(store, photos_of(references.val[:1], references.train), real[:1])
    assert [row.reason for row in subject_only if row.metric != "part_train"] == ["", ALONE]
    twins = photos_of(references.val, references.train, groups=("a", "a", "b", "c", "d", "e"))
    to_val = max(store.features[v.sha256] @ first for v in references.val[2:])
    assert values(scores(store, twins, real), "copy_gap")[0] == pytest.approx(expected_maximum(to_train, 4) - to_val)


def table(generated, subject_only, real):
    rows = [score("step-000010", "t", v, "nn_train", "none", "test", i) for i, v in enumerate(generated)]
    rows += [
        score("step-000010", "subject-only", v, "nn_train", "none", "subject-only", i)
        for i, v in enumerate(subject_only)
    ]
    rows += [score("real", "held_out", v, "nn_train", "none", "none", i) for i, v in enumerate(real)]
    return score_table(rows)


def test_copying_summary_measures_against_held_out_photos():
    real = np.linspace(0.5, 0.6, 11)
    copies = copying_summary(table([0.9] * 3 + [0.2] * 7, [0.95] * 12, real), "step-000010")
    assert copies["share_over_real"] == pytest.approx(0.3)
    assert copies["nn_train_p95"] == pytest.approx(0.9)
    assert copies["meehan_z"] < -3
    fresh = copying_summary(table([0.2] * 10, [0.1] * 12, real), "step-000010")
    assert fresh["share_over_real"] == 0
    assert fresh["meehan_z"] > 3


def test_copying_summary_says_nothing_without_scores():
    assert copying_summary(score_table([score("real", "held_out", 0.5)]), "step-000010") == {}
    assert set(copying_summary(table([0.5], [], [0.5]), "step-000010")) == {"nn_train_p95", "share_over_real"}


def test_share_over_real_counts_what_exceeds_every_one_of_few_photos():
    # 0.797 lies between the largest and numpy's interpolated quantile of these three, 0.796
    found = copying_summary(table([0.797, 0.9], [], [0.4, 0.6, 0.8]), "step-000010")
    assert found["share_over_real"] == pytest.approx(0.5)


def test_rank_z_of_alike_samples_is_standard_normal():
    random = np.random.default_rng(0)
    z = [rank_z(random.normal(size=30), random.normal(size=8)) for _ in range(400)]
    assert np.mean(z) == pytest.approx(0, abs=0.15)
    assert np.std(z) == pytest.approx(1, abs=0.1)
    assert rank_z(np.zeros(4), np.zeros(3)) == 0


def test_photos_through_the_autoencoder_are_found_and_held_out_ones_are_not():
    """Decoded photos lie far from sharp ones, all of them in one direction: against sharp photos nothing is a copy."""
    store, references, _ = unrelated(3)
    shared = unit_vectors(1, 9)[0]
    for file in (*references.val, *references.train):
        moved = store.features[file.sha256] + 1.5 * shared
        store.features[f"decoded-{file.sha256}"] = moved / np.linalg.norm(moved)
    decoded = tuple(ImageFile(file.path, f"decoded-{file.sha256}") for file in (*references.val, *references.train))
    with_decoded = replace(references, decoded=decoded)
    real = [sample(file, "real (autoencoder)", "held_out", "none", i) for i, file in enumerate(decoded[:6])]
    found = {}
    for name, files in (("memoriser", with_decoded.train_decoded), ("ideal", with_decoded.val_decoded)):
        generated = [sample(files[i % len(files)], seed=i) for i in range(20)]
        rows = scores(store, with_decoded, [*real, *generated])
        own = [row for row in rows if row.sample.variant != "real (autoencoder)"]
        found[name] = copying_summary(score_table(rows), "step-000010")["share_over_real"]
        if name == "memoriser":
            assert values(own, "nn_train") == pytest.approx(np.ones(20))
            sharp = values(scores(store, references, generated), "nn_train")
            assert sharp.max() < 0.9
    assert found == {"memoriser": 1.0, "ideal": 0.0}
