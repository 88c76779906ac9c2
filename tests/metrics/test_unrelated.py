"""Texts about other things: each image against the base model's of the same text and noise."""

import pytest

from src.core.errors import MetricError
from src.features.store import ImageFile
from src.metrics.intervals import against_base
from src.metrics.summary import reported_means, score_table
from src.metrics.unrelated import UnrelatedSimilarity
from tests.metrics.synthetic import photos_of, sample
from tests.metrics.test_copying import Store, unit_vectors

PROMPTS = ("lake", "mug", "bridge")


def generated(variant, prompt, seed):
    name = f"{variant}/{prompt}/{seed}"
    return sample(ImageFile(name, name), variant, prompt, "unrelated", seed)


@pytest.fixture
def samples_and_store():
    samples = [
        generated(variant, prompt, seed) for variant in ("base", "a", "b") for prompt in PROMPTS for seed in (0, 1)
    ]
    features = dict(zip((one.image.sha256 for one in samples), unit_vectors(len(samples), 3), strict=True))
    for prompt in PROMPTS:  # b is the base model, byte by byte
        for seed in (0, 1):
            features[f"b/{prompt}/{seed}"] = features[f"base/{prompt}/{seed}"]
    return samples, Store(features)


def test_images_are_paired_with_those_of_base_by_text_and_noise(samples_and_store):
    samples, store = samples_and_store
    scores = UnrelatedSimilarity("unrelated", "dino").score(samples, photos_of(), store)
    values = {(one.sample.variant, one.sample.prompt_id, one.sample.seed): one.value for one in scores}
    for prompt in PROMPTS:
        for seed in (0, 1):
            pair = store.features[f"a/{prompt}/{seed}"] @ store.features[f"base/{prompt}/{seed}"]
            assert values["a", prompt, seed] == pytest.approx(pair, abs=1e-12)
            assert values["b", prompt, seed] == pytest.approx(1, abs=1e-12)
            assert values["base", prompt, seed] == pytest.approx(1, abs=1e-12)


def test_the_figure_is_the_mean_over_texts_and_its_difference_to_base_has_an_interval(samples_and_store):
    samples, store = samples_and_store
    table = score_table(UnrelatedSimilarity("unrelated", "dino").score(samples, photos_of(), store))
    own = reported_means(table, "a")["unrelated"]
    assert own < reported_means(table, "b")["unrelated"] == 1
    assert against_base(table, "a")["unrelated"].mean == pytest.approx(own - 1, abs=1e-6)


def test_images_without_those_of_base_are_refused(samples_and_store):
    samples, store = samples_and_store
    with pytest.raises(MetricError, match=r"the base model has no image of bridge \(number 0\), bridge \(number 1\)"):
        UnrelatedSimilarity("unrelated", "dino").score(
            [one for one in samples if (one.variant, one.prompt_id) != ("base", "bridge")], photos_of(), store
        )
