"""Whether runs may be compared, and what several training seeds of a configuration say."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from src.comparison.statistics import Verdict
from src.comparison.verdict import compare_configurations, compare_runs, differing_fields, run_means
from src.core.errors import ConfigError, MetricError
from src.metrics.intervals import Unit
from tests.comparison.finished_runs import CHOSEN, COLUMNS, PARAMS, read_folder, with_pres, write_run, write_seeds


def test_margins_are_those_of_the_runs_and_must_agree(tmp_path):
    wide = {"evaluate": {**PARAMS["evaluate"], "margins": {"dino": 0.02, "clip_t": 0.5}}}
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", effect=0.1, params=wide)
    assert differing_fields(a, b) == ["evaluate.margins.clip_t"]
    with pytest.raises(MetricError, match=r"they differ in evaluate\.margins\.clip_t"):
        compare_runs(a, b, 0)
    assert compare_runs(b, b, 0).margins["clip_t"] == 0.5


@pytest.mark.parametrize("params", [{"evaluate": {}}, {"evaluate": None}, {"evaluate": {"margins": None}}])
def test_a_run_without_margins_is_named(tmp_path, params):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", params=params)
    for pair in ((a, b), (b, a)):
        with pytest.raises(MetricError, match=r"/b: its params\.yaml has no evaluate\.margins"):
            compare_runs(*pair, 0)


def test_a_primary_metric_needs_a_margin(tmp_path):
    params = {"evaluate": {"margins": {"dino": 0.02}}}
    a, b = write_run(tmp_path / "a", params=params), write_run(tmp_path / "b", params=params)
    with pytest.raises(ConfigError, match="no margin for clip_t"):
        compare_runs(a, b, 0)


def test_the_class_alone_is_compared_by_its_images(tmp_path):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b")
    pair = [replace(a, scores=with_pres(a.scores, 0.0)), replace(b, scores=with_pres(b.scores, 0.1))]
    found = compare_runs(*pair, 0).metrics["pres"]
    assert (found.unit, found.units) == (Unit.IMAGES, 8)
    assert found.interval.mean == pytest.approx(0.1)
    assert found.interval.low < found.interval.mean < found.interval.high


def test_diversity_of_one_image_per_prompt_is_compared_on_the_subject_alone(tmp_path):
    runs = []
    for name, gain in (("a", 0.0), ("b", 0.1)):
        run = write_run(tmp_path / name)
        prompts = [(CHOSEN, f"p{n}", "test", "g", 0, "div_lpips", "none", None, "the only image") for n in range(24)]
        alone = [
            (CHOSEN, "subject-only", "subject-only", "subject-only", k, "div_lpips", "none", 0.3 + gain * k, "")
            for k in range(8)
        ]
        scores = pd.concat([run.scores, pd.DataFrame([*prompts, *alone], columns=COLUMNS)])
        runs.append(replace(run, scores=scores))
    found = compare_runs(*runs, 0)
    diversity = found.metrics["div_lpips"]
    assert (diversity.unit, diversity.units, found.dropped["div_lpips"]) == (Unit.IMAGES, 8, 0)
    assert diversity.interval.mean == pytest.approx(0.35)
    assert run_means(runs[1])["div_lpips"] == pytest.approx(0.65)


def test_one_primary_metric_is_enough_for_a_verdict(tmp_path):
    a, b = (write_run(tmp_path / name, effect, metrics=("dino",)) for name, effect in (("a", 0.0), ("b", 0.1)))
    report = compare_runs(a, b, 0)
    assert (report.primaries, report.verdict) == (("dino",), Verdict.BETTER)


def test_a_metric_without_any_value_is_left_out(tmp_path):
    """For example div_lpips where each prompt and the subject alone have one image."""
    run = write_run(tmp_path / "a")
    scores = run.scores.assign(value=run.scores["value"].mask(run.scores["metric"] == "clip_t"))
    assert list(compare_runs(*[replace(run, scores=scores)] * 2, 0).metrics) == ["dino"]


def test_configurations_count_each_prompt_once_however_many_images_it_has(tmp_path):
    runs = [read_folder(Path(name)) for name in write_seeds(tmp_path, "a", (0.0, 0.0))]
    p0 = runs[0].scores["prompt_id"] == "p0"
    raised = runs[0].scores.assign(value=runs[0].scores["value"] + 10 * p0)
    higher = replace(runs[0], scores=raised[~(p0 & (raised["seed"] == 1))])
    found = compare_configurations(runs, [higher, higher]).metrics["dino"]
    assert (found.unit, found.units) == (Unit.RUNS, 4)
    assert found.interval.mean == pytest.approx(10 / 24, abs=1e-9)  # pooled it would be 10 / 47


def test_seeds_that_spread_more_than_they_gain_are_inconclusive(tmp_path):
    a, b = write_seeds(tmp_path, "a", (0.0, 0.1)), write_seeds(tmp_path, "b", (0.05, 0.16))
    report = compare_configurations([read_folder(Path(name)) for name in a], [read_folder(Path(name)) for name in b])
    assert report.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lr": 3e-4}, "not one configuration: lr"),
        ({"rank": 4}, "not one configuration: rank"),
        ({"prior": {"weight": 1.0, "seed": 5}}, r"not one configuration: prior\.weight$"),
    ],
)
def test_runs_of_one_side_differ_in_seeds_only(tmp_path, params, message):
    a = [read_folder(Path(name)) for name in write_seeds(tmp_path, "a", (0.0, 0.1))]
    odd = write_run(tmp_path / "odd", params=params)
    with pytest.raises(MetricError, match=message):
        compare_configurations(a, [a[0], odd])
