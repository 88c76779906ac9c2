"""The formulas, by hand, with embedders whose features are written down."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src.core.errors import MetricError
from src.features.store import FeatureStore, ImageFile, image_file
from src.metrics.base import Score, score_images
from src.metrics.copying import TrainingLikeness
from src.metrics.scores import Diversity, ImageSimilarity, TextSimilarity, mean_similarity
from tests.metrics.synthetic import photos_of, sample

ROWS = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.6, 0.8]])


class ColourModel:
    """Embeds an image as the colour of its first pixel, and a text as its length and 1."""

    name, title = "colour", "a colour"

    def load(self, _device):
        return self

    def prepare(self, image):
        return torch.tensor(image.getpixel((0, 0)), dtype=torch.float32)[:, None, None]

    def embed_images(self, batch):
        return batch[:, :, 0, 0]

    def embed_text(self, text):
        return torch.tensor([len(text), 1.0, 0.0])


class SignedColourModel(ColourModel):
    """Takes mid-grey as the origin, so that colours can be opposite; a text is the opposite of white."""

    def embed_images(self, batch):
        return batch[:, :, 0, 0] - 128

    def embed_text(self, _text):
        return torch.tensor([-1.0, -1.0, -1.0])


class LogitStore(FeatureStore):
    """Features a hundred times as long as unit vectors, as CLIP's logits are."""

    def embed_images(self, model, files):
        return 100 * super().embed_images(model, files)


def image(folder: Path, *colour: int) -> ImageFile:
    path = folder / f"{'-'.join(map(str, colour))}.png"
    Image.new("RGB", (2, 2), colour).save(path)
    return image_file(path)


@pytest.fixture
def store():
    return FeatureStore(4, "cpu")


def test_similarity_by_hand():
    assert mean_similarity(ROWS[:1], ROWS[:1]) == pytest.approx([1.0], abs=1e-6)
    assert mean_similarity(ROWS[:1], ROWS[1:2]) == pytest.approx([0.0])
    assert mean_similarity(ROWS[:1], ROWS[2:3]) == pytest.approx([-1.0])  # not clamped
    assert mean_similarity(ROWS[:1], ROWS[[1, 3]]) == pytest.approx([0.3])
    assert mean_similarity(ROWS[:1], ROWS[[1, 3, 1, 3]]) == pytest.approx([0.3])  # references twice


def test_scores_of_opposite_features_are_minus_one(tmp_path, store):
    light, dark, model = image(tmp_path, 138, 138, 138), image(tmp_path, 118, 118, 118), SignedColourModel()
    photos = photos_of((dark,), (light,))
    rows = ImageSimilarity("x", model, ("test",)).score([sample(light)], photos, store)
    assert {row.references: row.value for row in rows} == pytest.approx({"val": -1.0, "train": 1.0})
    assert TextSimilarity("x", model, ("test",)).score([sample(light)], photos, store)[0].value == pytest.approx(-1)
    copying = TrainingLikeness("x", model, ("test",)).score([sample(dark)], photos, store)
    # one colour has no edges that could be copied
    assert {row.metric: row.value for row in copying} == pytest.approx({"part_train": 0.0, "x": -1.0, "copy_gap": -2.0})


def test_similarity_is_symmetric_and_does_not_depend_on_order():
    assert mean_similarity(ROWS[:2], ROWS[2:]).mean() == pytest.approx(mean_similarity(ROWS[2:], ROWS[:2]).mean())
    order = [2, 0, 3, 1]
    assert mean_similarity(ROWS[order], ROWS[::-1]) == pytest.approx(mean_similarity(ROWS, ROWS)[order])


@pytest.mark.parametrize(("features", "references"), [(ROWS[:0], ROWS), (ROWS, ROWS[:0])])
def test_similarity_of_nothing_is_an_error(features, references):
    with pytest.raises(MetricError, match="undefined"):
        mean_similarity(features, references)


def test_image_similarity_keeps_held_out_and_training_photos_apart(tmp_path, store):
    red, green, mixed = image(tmp_path, 255, 0, 0), image(tmp_path, 0, 255, 0), image(tmp_path, 150, 200, 0)
    rows = ImageSimilarity("x", ColourModel(), ("test",)).score([sample(red)], photos_of((red, mixed), (green,)), store)
    assert {row.references: row.value for row in rows} == pytest.approx({"val": 0.8, "train": 0.0})


def test_image_similarity_of_real_photos_leaves_each_out(tmp_path, store):
    red, green, mixed = image(tmp_path, 255, 0, 0), image(tmp_path, 0, 255, 0), image(tmp_path, 150, 200, 0)
    metric = ImageSimilarity("x", ColourModel(), ("test",))
    real = [sample(file, "real", "held_out", "none", i) for i, file in enumerate((red, mixed))]
    rows = metric.score(real, photos_of((red, mixed), (green,)), store)
    assert [row.value for row in rows if row.references == "val"] == pytest.approx([0.6, 0.6])
    assert [row.value for row in rows if row.references == "train"] == pytest.approx([0.0, 0.8])
    subject_only = metric.score(real[:1], photos_of((red,), (green,)), store)
    assert [(row.references, row.value) for row in subject_only if row.value is None] == [("val", None)]
    assert "no held-out photo of another group" in subject_only[-1].reason


def test_near_duplicates_of_a_held_out_photo_are_not_compared_with_it(tmp_path, store):
    red, near, mixed = image(tmp_path, 255, 0, 0), image(tmp_path, 250, 0, 0), image(tmp_path, 150, 200, 0)
    metric = ImageSimilarity("x", ColourModel(), ("none",))
    real = [sample(file, "real", "held_out", "none", i) for i, file in enumerate((red, near, mixed))]
    photos = photos_of((red, near, mixed), (mixed,), groups=("a", "a", "b"))
    rows = metric.score(real, photos, store)
    assert [row.value for row in rows if row.references == "val"] == pytest.approx([0.6, 0.6, 0.6])
    pair = metric.score(real[:2], photos_of((red, near), (mixed,), groups=("a", "a")), store)
    assert [row.value for row in pair if row.references == "val"] == [None, None]


def test_text_similarity_is_the_raw_cosine_with_the_own_text(tmp_path, store):
    red, green = image(tmp_path, 255, 0, 0), image(tmp_path, 0, 255, 0)
    metric, photos = TextSimilarity("clip_t", ColourModel(), ("test",)), photos_of((red,), (green,))
    rows = metric.score([sample(red, text="toy"), sample(green, text="a toy", seed=1)], photos, store)
    assert [row.value for row in rows] == pytest.approx([3 / 10**0.5, 1 / 26**0.5])
    assert {row.references for row in rows} == {"none"}
    swapped = metric.score([sample(red, text="a toy"), sample(green, text="toy", seed=1)], photos, store)
    assert [row.value for row in swapped] != pytest.approx([row.value for row in rows])


def test_a_cosine_is_between_minus_one_and_one(tmp_path, monkeypatch):
    metric, probe = TextSimilarity("x", ColourModel()), sample(image(tmp_path, 1, 2, 3))
    found = [0.0]
    monkeypatch.setattr(metric, "score", lambda *_: [Score(probe, "x", "none", found[0], "")], raising=False)
    for found[0] in (-1.0, 1 + 1e-12):
        assert score_images(metric, [probe], photos_of((), ()), None)[0].value == found[0]
    for found[0] in (27.3, -1.1, float("nan"), float("inf")):
        with pytest.raises(MetricError, match=r"1-2-3\.png: expected x in \[-1, 1\]"):
            score_images(metric, [probe], photos_of((), ()), None)


@pytest.mark.parametrize("metric", [ImageSimilarity, TextSimilarity, TrainingLikeness])
def test_metrics_of_cosines_refuse_logits(tmp_path, metric):
    red, green = image(tmp_path, 255, 0, 0), image(tmp_path, 0, 255, 0)
    with pytest.raises(MetricError, match=r"255-0-0\.png: expected x in \[-1, 1\]"):
        score_images(
            metric("x", ColourModel()), [sample(red)], photos_of((red, green), (red, green)), LogitStore(4, "cpu")
        )


class GreyExtractor:
    """The distance is the difference of the first pixels; counts what it is asked."""

    def __init__(self):
        self.pairs = 0

    def prepare(self, image):
        return float(image.getpixel((0, 0))[0])

    def embed(self, value):
        return value

    def distance(self, a, b):
        self.pairs += 1
        return abs(a - b)


class GreyModel:
    name, title = "grey", "a level"

    def __init__(self):
        self.extractor = GreyExtractor()

    def load(self, _device):
        return self.extractor


def test_diversity_is_the_mean_over_all_pairs_of_a_prompt(tmp_path, store):
    model = GreyModel()
    files = [image(tmp_path, level, 0, 0) for level in (0, 10, 30, 70)]
    samples = [sample(file, prompt="p", seed=i) for i, file in enumerate(files)]
    rows = Diversity("div_lpips", model, ("test",)).score(samples, photos_of((), ()), store)
    assert model.extractor.pairs == 6  # S (S - 1) / 2
    assert np.mean([row.value for row in rows]) == pytest.approx(np.mean([10, 30, 70, 20, 60, 40]))


def test_diversity_compares_within_a_prompt_and_a_variant_only(tmp_path, store):
    files = [image(tmp_path, level, 0, 0) for level in (0, 10, 30, 70)]
    samples = [
        sample(files[0], "base", "p"),
        sample(files[1], "base", "p", seed=1),
        sample(files[2], "base", "q"),
        sample(files[3], "step-000010", "p"),
    ]
    rows = Diversity("div_lpips", GreyModel(), ("test",)).score(samples, photos_of((), ()), store)
    assert [row.value for row in rows] == [10, 10, None, None]
    assert "only image" in rows[2].reason


def test_diversity_names_a_distance_that_is_not_finite(tmp_path, store):
    model = GreyModel()
    model.extractor.distance = lambda _a, _b: float("nan")
    generated = [sample(image(tmp_path, level, 0, 0), seed=level) for level in (0, 10)]
    with pytest.raises(MetricError, match=r"0-0-0\.png"):
        score_images(Diversity("x", model), generated, photos_of((), ()), store)
