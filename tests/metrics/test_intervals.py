import numpy as np
import pandas as pd
import pytest
from scipy import stats

from src.metrics import intervals
from src.metrics.intervals import (
    DRAWS,
    Unit,
    against_base,
    estimate,
    independent_units,
    mean_interval,
    nested_bootstrap,
    reported_rows,
    score_grid,
    students_interval,
)


def simulate(random, prompts=25, seeds=4, effect=0.0):
    """Prompts differ by .04, images of a prompt by .06."""
    return effect + random.normal(0, 0.04, (prompts, 1)) + random.normal(0, 0.06, (prompts, seeds))


@pytest.mark.parametrize(
    ("prompts", "seeds", "of_prompts", "of_seeds"),
    [(25, 4, 0.04, 0.06), (24, 2, 0.0, 0.08), (25, 4, 0.02, 0.08), (6, 2, 0.05, 0.05), (1, 8, 0.0, 0.05)],
)
def test_interval_covers_the_truth_as_often_as_it_says(monkeypatch, prompts, seeds, of_prompts, of_seeds):
    """Percentiles of the bare means would cover 98.8 % in the third case, where seeds differ more than prompts."""
    monkeypatch.setattr(intervals, "DRAWS", 2_000)
    random, covered, repeats = np.random.default_rng(0), 0, 500
    for repeat in range(repeats):
        values = 0.02 + random.normal(0, of_prompts, (prompts, 1)) + random.normal(0, of_seeds, (prompts, seeds))
        interval = estimate(values, repeat)
        covered += interval.low <= 0.02 <= interval.high
    assert 0.93 <= covered / repeats <= 0.97


@pytest.mark.parametrize(
    ("shape", "unit", "units"), [((9, 4), Unit.PROMPTS, 9), ((2, 1), Unit.PROMPTS, 2), ((1, 8), Unit.IMAGES, 8)]
)
def test_few_prompts_and_the_images_of_one_have_students_interval(shape, unit, units):
    values = np.random.default_rng(3).normal(0.1, 0.05, shape)
    found, of_units = independent_units(values)
    assert (found, len(of_units)) == (unit, units)
    theirs = stats.ttest_1samp(of_units, 0.0).confidence_interval(0.95)
    interval = estimate(values, 0)
    assert (interval.low, interval.high) == pytest.approx((theirs.low, theirs.high))


def test_ten_prompts_are_enough_for_the_bootstrap():
    values = np.random.default_rng(4).normal(size=(10, 2))
    assert estimate(values, 0) == nested_bootstrap(values, 0)
    assert estimate(values[:9], 0) == students_interval(values[:9].mean(1))


@pytest.mark.parametrize("values", [np.ones((1, 1)), np.ones((0, 0)), np.ones((0, 3))])
def test_a_single_value_has_no_interval(values):
    assert estimate(values, 0) is None


@pytest.mark.parametrize("shape", [(25, 3), (5, 3), (1, 3)])
def test_a_constant_sample_is_certain(shape):
    interval = estimate(np.full(shape, 0.1), 0)
    assert interval.mean == interval.low == interval.high == pytest.approx(0.1)


def test_prompts_that_nearly_all_agree_have_a_finite_interval_on_both_sides():
    """One prompt of 24 differs: a third of the generates lacks it, has no spread, and would be infinitely far away."""
    values = np.full((24, 2), 1 / 3)
    values[5] = 1.0
    interval = estimate(values, 0)
    assert interval == students_interval(values.mean(1))
    assert interval.low < interval.mean < interval.high < 1


def test_no_difference_is_zero_exactly():
    interval = nested_bootstrap(np.zeros((5, 2)), 0)
    assert (interval.mean, interval.low, interval.high) == (0, 0, 0)


def test_prompts_are_resampled_not_images():
    """Ten seeds that agree within each prompt tell no more than one of them."""
    random = np.random.default_rng(1)
    prompts = random.normal(0, 1, (40, 1))
    one, ten = nested_bootstrap(prompts, 0), nested_bootstrap(np.repeat(prompts, 10, axis=1), 0)
    assert ten.high - ten.low == pytest.approx(one.high - one.low, rel=0.05)
    assert one.high - one.low == pytest.approx(2 * 2.02 * prompts.std(ddof=1) / np.sqrt(40), rel=0.12)


def test_the_same_seed_gives_the_same_interval():
    values = simulate(np.random.default_rng(2))
    assert nested_bootstrap(values, 3) == nested_bootstrap(values, 3)
    assert nested_bootstrap(values, 3) != nested_bootstrap(values, 4)
    assert DRAWS == 10_000


def rows(variant, values, prompt_set="test", references="val", metric="dino"):
    return [
        (variant, f"{prompt_set}{p}", prompt_set, "g", k, metric, references, value, "")
        for p, of_prompt in enumerate(values)
        for k, value in enumerate(of_prompt)
    ]


def score_frame(*parts):
    columns = ["variant", "prompt_id", "set", "group", "seed", "metric", "references", "value", "reason"]
    return pd.DataFrame([row for part in parts for row in part], columns=columns)


def test_pairs_by_prompt_and_seed_and_reads_the_held_out_rows_of_the_test_prompts_only():
    base = np.array([[0.1, 0.2], [0.5, 0.7], [0.4, 0.1]])
    table = score_frame(
        rows("base", base),
        rows("step-2", base + 0.25),
        rows("step-2", base + 9, prompt_set="dev"),
        rows("step-2", base + 9, references="train"),
    )
    interval = against_base(table.sample(frac=1, random_state=0), "step-2")["dino"]
    assert interval.mean == pytest.approx(0.25)
    assert interval.low == pytest.approx(0.25)
    table.loc[(table.variant == "step-2") & (table.prompt_id == "test0") & (table.seed == 1), "value"] = np.nan
    assert against_base(table, "step-2")["dino"].mean == pytest.approx(0.25)
    assert against_base(table[table.variant == "base"], "step-2") == {}


def test_the_class_alone_is_one_prompt_whose_images_are_the_units():
    base, gain = np.zeros((1, 8)), np.linspace(0.1, 0.2, 8)[None]
    table = score_frame(rows("base", base, "class-only"), rows("step-2", gain, "class-only"))
    found = against_base(table, "step-2")["dino"]
    assert found == students_interval(gain[0])
    assert found.low < found.mean < found.high


def test_a_metric_with_a_single_value_is_left_out():
    table = score_frame(rows("base", [[0.1]]), rows("step-2", [[0.3]]))
    assert against_base(table, "step-2") == {}
    assert mean_interval(table, "step-2", "dino") is None
    assert mean_interval(table, "step-2", "clip_t") is None


@pytest.mark.parametrize("seeds", [1, 2])
def test_diversity_is_reported_on_the_subject_alone_where_a_prompt_has_one_image(seeds):
    of_test = np.full((3, seeds), 0.2 if seeds > 1 else np.nan)
    table = score_frame(
        rows("base", of_test, metric="div_lpips"),
        rows("base", np.full((1, 8), 0.7), "subject-only", metric="div_lpips"),
        rows("base", np.full((3, seeds), 0.5)),
        rows("base", np.full((1, 8), 0.9), "subject-only"),
        rows("base", np.full((1, 8), 0.3), "class-only", metric="pres"),
        rows("real", np.full((1, 5), 0.9), "none", metric="div_lpips"),
        rows("base", np.full((3, seeds), np.nan), metric="id_sim_all"),
    )
    shown = reported_rows(table)
    assert shown.groupby("metric")["set"].unique().map(list).to_dict() == {
        "div_lpips": ["subject-only"] if seeds == 1 else ["test"],
        "dino": ["test"],
        "pres": ["class-only"],
    }
    assert len(shown) == (8 if seeds == 1 else 6) + 3 * seeds + 8


def mean_distances(points):
    """Of each point to the others."""
    return np.linalg.norm(points[:, None] - points[None], axis=2).sum(1) / (len(points) - 1)


@pytest.mark.parametrize("images", [8, 50])
def test_interval_of_a_mean_over_pairs_covers_the_truth_as_often_as_it_says(images):
    """Each image is in the values of all: taken as independent they would cover 68 % instead of 95 %."""
    random = np.random.default_rng(0)
    truth = np.mean([mean_distances(random.normal(size=(400, 3))).mean() for _ in range(20)])
    covered = np.zeros(2)
    for _ in range(400):
        values = pd.Series(
            mean_distances(random.normal(size=(images, 3))),
            pd.MultiIndex.from_product([["subject-only"], range(images)], names=["prompt_id", "seed"]),
        )
        for place, metric in enumerate(("div_lpips", "dino")):
            found = estimate(score_grid(values, metric), 0)
            assert found.mean == pytest.approx(values.mean())
            covered[place] += found.low <= truth <= found.high
    assert 0.92 <= covered[0] / 400 <= 0.98
    assert covered[1] / 400 < 0.8


def test_pairs_of_two_images_are_what_they_were():
    values = pd.Series(
        [0.1, 0.1, 0.4, 0.4], pd.MultiIndex.from_product([["p", "q"], [0, 1]], names=["prompt_id", "seed"])
    )
    assert score_grid(values, "div_lpips").tolist() == [[0.1, 0.1], [0.4, 0.4]]
