import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from src.commands import compare
from src.comparison.choice import choose_run
from src.comparison.settings import Differs, settings_digest
from src.comparison.spread import SeedSpread
from src.comparison.statistics import Verdict
from src.comparison.verdict import compare_runs, differing_fields
from src.core.config import load_config, to_dict
from src.core.errors import MetricError
from src.reporting.comparison.markdown import describe_pair, describe_settings
from src.reporting.comparison.page import write_comparison
from tests.comparison.finished_runs import with_pres, write_run


def test_a_run_against_itself_is_equivalent(tmp_path):
    run = write_run(tmp_path / "a")
    report = compare_runs(run, run, 0)
    assert report.verdict is Verdict.EQUIVALENT
    assert {c.interval.mean for c in report.metrics.values()} == {0.0}


def test_a_gain_is_found_and_told(tmp_path):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", effect=0.1)
    report = compare_runs(a, b, 0)
    assert report.verdict is Verdict.BETTER
    assert report.metrics["dino"].interval.mean == pytest.approx(0.1, abs=0.002)
    assert compare_runs(b, a, 0).verdict is Verdict.WORSE
    text = describe_pair(a, b, report, [])
    assert "**BETTER**" in text
    assert "Checkpoint of B against that of A: **BETTER**" in text
    assert "| dino | up | +0.1" in text


@pytest.mark.parametrize(
    ("meta", "params", "field"),
    [
        ({"prompt_set_sha256": "q"}, {}, "prompt_set_sha256"),
        ({"seeds": [0, 1, 2]}, {}, "seeds"),
        ({"references": {"val": {"b.png": "2"}}}, {}, "references"),
        ({"metric_models": {"dino": {"sha256": "z"}, "clip_t": {"sha256": "y"}}}, {}, "metric_models.dino"),
        ({}, {"validation_args": {"guidance_scale": 7.5, "batch_size": 8}}, "validation_args.guidance_scale"),
        ({}, {"sampler": {"class_name": "Euler"}}, "sampler.class_name"),
    ],
)
def test_runs_that_differ_in_how_they_were_measured_are_refused(tmp_path, meta, params, field):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", meta=meta, params=params)
    assert differing_fields(a, b) == [field]
    with pytest.raises(MetricError, match=field):
        compare_runs(a, b, 0)


def test_what_is_compared_may_differ(tmp_path):
    more = {"lr": 1.0, "validation_args": {"guidance_scale": 4.0, "batch_size": 2}}
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", params=more)
    assert differing_fields(a, b) == []


def test_missing_values_are_dropped_on_both_sides_and_counted_and_too_many_are_refused(tmp_path):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", effect=0.1)
    scores = b.scores.copy()
    rows = scores.index[(scores.variant != "base") & (scores.set == "test") & (scores.references == "val")]
    scores.loc[rows[0], "value"] = np.nan
    report = compare_runs(a, replace(b, scores=scores), 0)
    assert report.dropped == {"clip_t": 0, "dino": 1}
    assert report.metrics["dino"].units == 23
    scores.loc[rows[:5], "value"] = np.nan
    with pytest.raises(MetricError, match="5 of 48 pairs lack a value"):
        compare_runs(a, replace(b, scores=scores), 0)
    described = [replace(run, scores=table.replace("dino", "other")) for run, table in ((a, a.scores), (b, scores))]
    report = compare_runs(*described, 0)
    assert (report.metrics.keys(), report.dropped["other"]) == ({"clip_t"}, 5)


def test_pairs_are_joined_by_prompt_and_seed_not_by_position(tmp_path):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", effect=0.1)
    failed = (b.scores["variant"] == "step-000100") & (b.scores["prompt_id"] == "p3") & (b.scores["seed"] == 1)
    rows = b.scores[~failed].sample(frac=1, random_state=0)
    found = compare_runs(a, replace(b, scores=rows), 0)
    whole = compare_runs(a, b, 0).metrics["dino"].interval
    assert found.dropped == {"clip_t": 1, "dino": 1}
    assert found.metrics["dino"].units == 23
    assert found.metrics["dino"].interval.mean == pytest.approx(whole.mean, abs=2e-4)
    assert found.metrics["dino"].interval.low > 0.09


def test_a_rise_of_pres_is_shown_as_a_rise_and_as_no_gain(tmp_path):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", effect=0.1)
    pair = [replace(a, scores=with_pres(a.scores, 0.0)), replace(b, scores=with_pres(b.scores, 0.12))]
    entries = compare.compare_all(pair, {})
    text = describe_pair(*pair, entries[1].report, [])
    assert re.search(r"\| pres \| down \| \+0\.1.* \| descriptive \| – \| 8 images \|", text)
    assert re.search(r"\| dino \| up \| \+0\.1.* \| 0\.02 \| unknown \| 24 prompts \|", text)
    assert "Student's over its images" in text
    choice = choose_run(a, [(b, entries[1].report)])
    write_comparison(tmp_path / "page.html", entries, compare.read_notes(None), choice, [], ())
    page = (tmp_path / "page.html").read_text()
    assert re.search(r'>pres <span class="arrow">↓</span></th><td class="worse"><data value="0\.1', page)
    assert re.search(r'>dino <span class="arrow">↑</span></th><td class="better"><data value="0\.1', page)
    assert "<td>8 images</td>" in page
    assert "Student&#39;s over its images" in page


SPREAD = SeedSpread(
    settings="",
    model="tabletop",
    seeds=(1, 2, 3, 4, 5, 6, 7, 8, 9),
    sd={"dino": 0.0225, "clip_t": 0.0125},
    command="python -m src.commands.seeds",
    machine="two cores",
    date="2026-01-01",
)


def test_a_pair_that_differs_in_the_seed_alone_says_nothing_about_settings(tmp_path):
    """However far apart: 8 of 36 pairs of one setting were called better or worse."""
    pair = [
        write_run(tmp_path / name, effect, params={"seed": n})
        for n, (name, effect) in enumerate(zip("ab", (0, 0.1), strict=True))
    ]
    report = compare_runs(*pair, 0)
    assert report.differs is Differs.SEEDS
    text = describe_pair(*pair, report, [])
    assert "Same settings, other seed: what differs is the seed's doing and says nothing about settings." in text
    assert "is unknown for these settings" in text


def test_a_single_pair_is_about_checkpoints_and_has_the_seeds_spread_beside_it(tmp_path):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", 0.1, params={"lr": 3e-4})
    known = [replace(SPREAD, settings=settings_digest(a.params))]
    text = describe_pair(a, b, compare_runs(a, b, 0), known)
    assert "This compares two CHECKPOINTS, one training seed each." in text
    # Student's 97.5 % quantile of 8 degrees of freedom, 2.3060, times the square root of 2, times 0.0225
    assert re.search(r"\| dino \| up \| \+0\.1.* \| 0\.02 \| ±0\.0734 \| 24 prompts \|", text)
    assert "up to dino 0.073, clip_t 0.041 in 95 % of pairs" in text
    other = describe_pair(b, write_run(tmp_path / "c", params={"lr": 1e-5}), compare_runs(a, b, 0), known)
    assert "| unknown | 24 prompts |" in other


def test_settings_are_better_only_by_several_runs_of_each(tmp_path):
    sides = [
        [
            replace(write_run(tmp_path / f"{name}{n}", effect + 0.004 * n, params={"seed": n, "lr": lr}), name="x")
            for n in range(3)
        ]
        for name, effect, lr in (("a", 0.01, 1e-4), ("b", 0.11, 3e-4))
    ]
    text = describe_settings(*sides)
    assert "Settings of B against those of A: **BETTER**" in text
    assert "This compares the two SETTINGS" in text
    assert "Both sides have the same settings: what differs is chance." in describe_settings(sides[0], sides[0])


def test_an_open_verdict_says_what_is_settled_and_what_blocks(tmp_path):
    a = write_run(tmp_path / "a")
    scores, random = a.scores.copy(), np.random.default_rng(1)
    scores.loc[scores["metric"] == "dino", "value"] -= 0.15
    of_clip = (scores["metric"] == "clip_t") & (scores["set"] == "test")
    scores.loc[of_clip, "value"] += random.normal(0, 0.05, of_clip.sum())
    report = compare_runs(a, replace(a, name="b", scores=scores), 0)
    text = describe_pair(a, a, report, [])
    assert "**INCONCLUSIVE**: no verdict on all primary metrics together" in text
    assert "- dino is settled, it fell: -0.1500" in text
    assert re.search(r"- clip_t is open: .*; it blocks the verdict, about \d+ prompts would do", text)


def test_the_documented_experiment_may_be_compared():
    """Another crop size or other prompts would make every reference and sample another one."""
    (line,) = re.findall(r"`dvc exp run -n dora (.*?)`", Path("docs/comparing.md").read_text())
    first, dora = (to_dict(load_config(overrides)) for overrides in ([], line.removeprefix("-S ").split(" -S ")))
    assert [key for key in first if first[key] != dora[key]] == ["method"]
