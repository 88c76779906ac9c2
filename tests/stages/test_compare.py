import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from src.core.config import load_config, to_dict
from src.core.errors import MetricError
from src.metrics.choice import choose_run
from src.metrics.comparison import compare_runs, differing_fields
from src.metrics.statistics import Verdict
from src.reporting.comparison_page import write_comparison
from src.stages import compare
from src.stages.compare import describe_pair
from tests.metrics.finished_runs import with_pres, write_run


def test_a_run_against_itself_is_equivalent(tmp_path):
    run = write_run(tmp_path / "a")
    report = compare_runs(run, run, 0)
    assert report.verdict is Verdict.EQUIVALENT
    assert {c.interval.mean for c in report.metrics.values()} == {0.0}


def test_a_gain_is_found_and_told(tmp_path):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", effect=0.1)
    report = compare_runs(a, b, 0)
    assert report.verdict is Verdict.BETTER
    assert report.metrics["dino_vits16"].interval.mean == pytest.approx(0.1, abs=0.002)
    assert compare_runs(b, a, 0).verdict is Verdict.WORSE
    text = describe_pair(a, b, report)
    assert "**BETTER**" in text
    assert "CHECKPOINTS" in text
    assert "| dino_vits16 | up | +0.1" in text


@pytest.mark.parametrize(
    ("meta", "params", "field"),
    [
        ({"prompt_set_sha256": "q"}, {}, "prompt_set_sha256"),
        ({"seeds": [0, 1, 2]}, {}, "seeds"),
        ({"references": {"val": {"b.png": "2"}}}, {}, "references"),
        ({"judges": {"dino_vits16": {"sha256": "z"}, "clip_t": {"sha256": "y"}}}, {}, "judges.dino_vits16"),
        ({}, {"validation_args": {"guidance_scale": 7.5, "batch_size": 8}}, "validation_args.guidance_scale"),
        ({}, {"sampler": {"class_name": "Euler"}}, "sampler.class_name"),
    ],
)
def test_runs_that_differ_in_how_they_were_judged_are_refused(tmp_path, meta, params, field):
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
    assert report.dropped == {"clip_t": 0, "dino_vits16": 1}
    assert report.metrics["dino_vits16"].units == 23
    scores.loc[rows[:5], "value"] = np.nan
    with pytest.raises(MetricError, match="5 of 48 pairs lack a value"):
        compare_runs(a, replace(b, scores=scores), 0)
    described = [
        replace(run, scores=table.replace("dino_vits16", "other")) for run, table in ((a, a.scores), (b, scores))
    ]
    report = compare_runs(*described, 0)
    assert (report.metrics.keys(), report.dropped["other"]) == ({"clip_t"}, 5)


def test_pairs_are_joined_by_prompt_and_seed_not_by_position(tmp_path):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", effect=0.1)
    failed = (b.scores["variant"] == "step-000100") & (b.scores["prompt_id"] == "p3") & (b.scores["seed"] == 1)
    rows = b.scores[~failed].sample(frac=1, random_state=0)
    found = compare_runs(a, replace(b, scores=rows), 0)
    whole = compare_runs(a, b, 0).metrics["dino_vits16"].interval
    assert found.dropped == {"clip_t": 1, "dino_vits16": 1}
    assert found.metrics["dino_vits16"].units == 23
    assert found.metrics["dino_vits16"].interval.mean == pytest.approx(whole.mean, abs=2e-4)
    assert found.metrics["dino_vits16"].interval.low > 0.09


def test_a_rise_of_pres_is_shown_as_a_rise_and_as_no_gain(tmp_path):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", effect=0.1)
    pair = [replace(a, scores=with_pres(a.scores, 0.0)), replace(b, scores=with_pres(b.scores, 0.12))]
    entries = compare.compare_all(pair, {})
    text = describe_pair(*pair, entries[1].report)
    assert re.search(r"\| pres \| down \| \+0\.1.* \| descriptive \| 8 images \|", text)
    assert re.search(r"\| dino_vits16 \| up \| \+0\.1.* \| 0\.02 \| 24 prompts \|", text)
    assert "Student's over its images" in text
    choice = choose_run(a, [(b, entries[1].report)])
    write_comparison(tmp_path / "page.html", entries, compare.read_notes(None), choice)
    page = (tmp_path / "page.html").read_text()
    assert re.search(r'>pres <span class="arrow">↓</span></th><td><data value="0\.1', page)
    assert re.search(r'>dino_vits16 <span class="arrow">↑</span></th><td class="best"><data value="0\.1', page)
    assert "<td>8 images</td>" in page
    assert "Student&#39;s over its images" in page


def test_the_documented_experiment_may_be_compared():
    """Another crop size or other prompts would make every reference and sample another one."""
    (line,) = re.findall(r"`dvc exp run -n dora (.*?)`", Path("docs/comparing.md").read_text())
    first, dora = (to_dict(load_config(overrides)) for overrides in ([], line.removeprefix("-S ").split(" -S ")))
    assert [key for key in first if first[key] != dora[key]] == ["method"]
