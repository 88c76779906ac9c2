import json
import re
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from src.core.errors import MetricError
from src.metrics.comparison import compare_configurations, compare_runs, differing_fields
from src.metrics.statistics import Verdict
from src.reporting.comparison_charts import pareto_front
from src.reporting.comparison_page import Entry, Note, best_run, changed_parameters, write_comparison
from src.stages import compare
from src.stages.compare import describe_pair, read_run

MARGINS = {"dino_vits16": 0.02, "clip_t": 0.005}
META = {
    "selected": "step-000100",
    "prompt_set_sha256": "p",
    "seeds": [0, 1],
    "references": {"val": {"a.png": "1"}},
    "judges": {"dino_vits16": {"sha256": "x"}, "clip_t": {"sha256": "y"}},
}
PARAMS = {
    "lr": 1e-4,
    "subject": {"class_name": "bear"},
    "sampler": {"class_name": "DDIM"},
    "validation_args": {"guidance_scale": 4.0, "batch_size": 8},
}


def write_run(folder, effect=0.0, seed=0, meta=(), params=()):
    random = np.random.default_rng(seed)
    rows = []
    for metric, spread, shift in (("dino_vits16", 0.05, effect), ("clip_t", 0.004, 0.0)):
        for prompt in range(24):
            level = random.normal(0.5, spread)
            for k in range(2):
                value = level + shift + (0.002 * np.sin(prompt + k) if effect else 0)
                rows.append(("step-000100", f"p{prompt}", "test", "g", k, metric, "val", value, ""))
                rows.append(("step-000100", f"p{prompt}", "test", "g", k, metric, "train", 9.0, ""))
                rows.append(("base", f"p{prompt}", "test", "g", k, metric, "val", 0.1, ""))
                rows.append(("step-000100", f"d{prompt}", "dev", "g", k, metric, "val", 9.0, ""))
    columns = ["variant", "prompt_id", "set", "group", "seed", "metric", "references", "value", "reason"]
    (folder / "metrics").mkdir(parents=True)
    pd.DataFrame(rows, columns=columns).to_csv(folder / "metrics/scores.csv", index=False)
    (folder / "metrics/metrics_meta.json").write_text(json.dumps({**META, **dict(meta)}))
    (folder / "params.yaml").write_text(yaml.safe_dump({**PARAMS, **dict(params)}))
    return read_run(str(folder))


def test_a_run_against_itself_is_equivalent(tmp_path):
    run = write_run(tmp_path / "a")
    report = compare_runs(run, run, MARGINS, 0)
    assert report.verdict is Verdict.EQUIVALENT
    assert {c.interval.mean for c in report.metrics.values()} == {0.0}


def test_a_gain_is_found_and_told(tmp_path):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", effect=0.1)
    report = compare_runs(a, b, MARGINS, 0)
    assert report.verdict is Verdict.BETTER
    assert report.metrics["dino_vits16"].interval.mean == pytest.approx(0.1, abs=0.002)
    assert compare_runs(b, a, MARGINS, 0).verdict is Verdict.WORSE
    text = describe_pair(a, b, report, MARGINS)
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
        compare_runs(a, b, MARGINS, 0)


def test_what_is_compared_may_differ(tmp_path):
    more = {"lr": 1.0, "validation_args": {"guidance_scale": 4.0, "batch_size": 2}}
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", params=more)
    assert differing_fields(a, b) == []


def test_missing_values_are_dropped_on_both_sides_and_counted_and_too_many_are_refused(tmp_path):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", effect=0.1)
    scores = b.scores.copy()
    rows = scores.index[(scores.variant != "base") & (scores.set == "test") & (scores.references == "val")]
    scores.loc[rows[0], "value"] = np.nan
    report = compare_runs(a, replace(b, scores=scores), MARGINS, 0)
    assert report.dropped == {"clip_t": 0, "dino_vits16": 1}
    assert report.metrics["dino_vits16"].prompts == 23
    scores.loc[rows[:5], "value"] = np.nan
    with pytest.raises(MetricError, match="5 of 48 pairs lack a value"):
        compare_runs(a, replace(b, scores=scores), MARGINS, 0)


def test_pairs_are_joined_by_prompt_and_seed_not_by_position(tmp_path):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", effect=0.1)
    failed = (b.scores["variant"] == "step-000100") & (b.scores["prompt_id"] == "p3") & (b.scores["seed"] == 1)
    rows = b.scores[~failed].sample(frac=1, random_state=0)
    found = compare_runs(a, replace(b, scores=rows), MARGINS, 0)
    whole = compare_runs(a, b, MARGINS, 0).metrics["dino_vits16"].interval
    assert found.dropped == {"clip_t": 1, "dino_vits16": 1}
    assert found.metrics["dino_vits16"].prompts == 23
    assert found.metrics["dino_vits16"].interval.mean == pytest.approx(whole.mean, abs=2e-4)
    assert found.metrics["dino_vits16"].interval.low > 0.09


def test_a_rise_of_pres_is_shown_as_a_rise_and_as_no_gain(tmp_path):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", effect=0.1)
    pair = [replace(run, scores=with_pres(run.scores)) for run in (a, b)]
    entries = compare.compare_all(pair, {}, MARGINS)
    assert "| pres | down | +0.1" in describe_pair(*pair, entries[1].report, MARGINS)
    write_comparison(tmp_path / "page.html", entries, compare.read_notes(None), MARGINS, 0.02, "en")
    page = (tmp_path / "page.html").read_text()
    assert re.search(r'>pres <span class="arrow">↓</span></th><td><data value="0\.1', page)
    assert re.search(r'>dino_vits16 <span class="arrow">↑</span></th><td class="best"><data value="0\.1', page)


def with_pres(scores):
    """PRES of this table is what DINO is."""
    return pd.concat([scores, scores[scores["metric"] == "dino_vits16"].assign(metric="pres")])


def test_the_command_says_what_is_missing(tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "a")
    monkeypatch.setattr(sys, "argv", ["compare", str(tmp_path / "a"), str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        compare.main()
    assert stop.value.code == 1
    assert "metrics/scores.csv: no such file" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["compare", str(tmp_path / "a"), "no-such-revision"])
    with pytest.raises(SystemExit):
        compare.main()
    assert "no-such-revision: no evaluated run there" in capsys.readouterr().err


def run_command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["compare", *map(str, arguments)])
    compare.main()


def test_the_command_writes_a_page_of_all_runs(tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", effect=0.1, params={"lr": 3e-4})
    write_run(tmp_path / "c", params={"sampler": {"class_name": "Euler"}})
    notes = {
        str(tmp_path / "b"): {"hypothesis": "a higher rate learns more", "conclusion": "keep it"},
        "report": {
            "failed": ["lr=1 gave NaN"],
            "ideas": ["learn the token's embedding"],
            "borrowed": [{"what": "a sampler", "link": "https://example.org/sampler"}],
        },
    }
    (tmp_path / "notes.yaml").write_text(yaml.safe_dump(notes))
    runs = [tmp_path / name for name in "abc"]
    out = tmp_path / "page.html"
    run_command(monkeypatch, *runs, "--notes", tmp_path / "notes.yaml", "--out", out)
    printed = capsys.readouterr().out
    assert "**BETTER**" in printed
    assert "they differ in sampler.class_name" in printed
    page = out.read_text()
    for words in ("a higher rate learns more", "keep it", "<b>BETTER</b>", "they differ in sampler.class_name"):
        assert words in page, words
    for words in (
        "lr=1 gave NaN",
        "learn the token&#39;s embedding",
        'href="https://example.org/sampler"',
        "2106.09685",
    ):
        assert words in page, words
    assert f"Best run: {tmp_path / 'b'}" in page
    assert f"To keep: {tmp_path / 'b'}" in page
    assert "<code>lr</code></td><td>0.0001</td><td>0.0003</td>" in page
    differences = pd.read_csv(tmp_path / "page_figures/forest-differences.csv")
    assert set(differences["name"]) == {str(tmp_path / "b")}
    of_dino = differences.set_index("metric").loc["dino_vits16"]
    assert of_dino["low"] < of_dino["difference"] < of_dino["high"]
    checkpoints = pd.read_csv(tmp_path / "page_figures/scatter-checkpoints.csv")
    assert checkpoints["step"].tolist() == [100, 100, 100]
    assert (checkpoints["clip_t_low"] < checkpoints["clip_t"]).all()


def test_the_command_compares_a_run_with_itself(tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "a")
    run_command(monkeypatch, tmp_path / "a", tmp_path / "a", "--out", tmp_path / "page.html")
    assert "**EQUIVALENT**" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stranger: {hypothesis: x}", "about none of the runs: stranger"),
        ("[1]", "expected RUN: {hypothesis: ..., conclusion: ...}"),
        ("a: {guess: x}", "expected RUN: {hypothesis: ..., conclusion: ...}"),
        ("report: {wishes: [x]}", "report: {failed: [...], ideas: [...], borrowed: [{what, link}]}"),
        ("report: {borrowed: [x]}", "report: {failed: [...], ideas: [...], borrowed: [{what, link}]}"),
    ],
)
def test_notes_that_fit_no_run_are_refused(tmp_path, monkeypatch, capsys, text, message):
    for name in "ab":
        write_run(tmp_path / name)
    (tmp_path / "notes.yaml").write_text(text)
    out = tmp_path / "page.html"
    with pytest.raises(SystemExit):
        run_command(monkeypatch, tmp_path / "a", tmp_path / "b", "--notes", tmp_path / "notes.yaml", "--out", out)
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_changed_parameters_leave_out_what_decides_nothing():
    a = {"lr": 1e-4, "train": {"steps": 10}, "exp": {"run_dir": "x"}, "configs_digest": "1", "old": 1}
    b = {"lr": 1e-3, "train": {"steps": 10}, "exp": {"run_dir": "y"}, "configs_digest": "2", "new": [1, 2]}
    assert changed_parameters(a, b) == [
        ("lr", "0.0001", "0.001"),
        ("new.0", "–", "1"),
        ("new.1", "–", "2"),
        ("old", "1", "–"),
    ]


def test_pareto_front_keeps_what_no_other_exceeds():
    points = [(0.1, 0.9), (0.2, 0.8), (0.15, 0.7), (0.3, 0.8), (0.3, 0.5)]
    rows = [{"clip_t": across, "dino_vits16": up} for across, up in points]
    assert [(row["clip_t"], row["dino_vits16"]) for row in pareto_front(rows)] == [(0.1, 0.9), (0.3, 0.8)]


def test_the_best_run_keeps_its_prompts(tmp_path):
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", effect=0.1)
    note = Note("", "")
    entries = [Entry(run, None, "", note) for run in (a, b)]
    assert best_run(entries, 0.02) == b.name
    base = b.scores["variant"] == "base"
    lost = b.scores.assign(value=b.scores["value"].mask(base & (b.scores["metric"] == "clip_t"), 0.9))
    assert best_run([entries[0], Entry(replace(b, scores=lost), None, "", note)], 0.02) == a.name


def write_seeds(folder, name, effects):
    for n, effect in enumerate(effects):
        write_run(folder / f"{name}{n}", effect=effect, seed=7, params={"seed": n}.items())
    return [str(folder / f"{name}{n}") for n in range(len(effects))]


def test_several_training_seeds_are_compared_by_run_means(tmp_path, monkeypatch, capsys):
    a, b = write_seeds(tmp_path, "a", (0.001, 0.003, 0.002)), write_seeds(tmp_path, "b", (0.101, 0.104, 0.102))
    run_command(monkeypatch, ",".join(a), ",".join(b))
    printed = capsys.readouterr().out
    assert "**BETTER**" in printed
    assert "| dino_vits16 | up | +0.1003 |" in printed
    assert "3 and 3 training runs" in printed


def test_configurations_count_each_prompt_once_however_many_images_it_has(tmp_path):
    runs = [read_run(name) for name in write_seeds(tmp_path, "a", (0.0, 0.0))]
    p0 = runs[0].scores["prompt_id"] == "p0"
    raised = runs[0].scores.assign(value=runs[0].scores["value"] + 10 * p0)
    higher = replace(runs[0], scores=raised[~(p0 & (raised["seed"] == 1))])
    found = compare_configurations(runs, [higher, higher], MARGINS).metrics["dino_vits16"]
    assert found.interval.mean == pytest.approx(10 / 24, abs=1e-9)  # pooled it would be 10 / 47


def test_seeds_that_spread_more_than_they_gain_are_inconclusive(tmp_path):
    a, b = write_seeds(tmp_path, "a", (0.0, 0.1)), write_seeds(tmp_path, "b", (0.05, 0.16))
    report = compare_configurations([read_run(name) for name in a], [read_run(name) for name in b], MARGINS)
    assert report.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("params", "message"), [({"lr": 3e-4}, "not one configuration: lr"), ({"rank": 4}, "not one configuration: rank")]
)
def test_runs_of_one_side_differ_in_seeds_only(tmp_path, params, message):
    a = [read_run(name) for name in write_seeds(tmp_path, "a", (0.0, 0.1))]
    odd = write_run(tmp_path / "odd", params=params.items())
    with pytest.raises(MetricError, match=message):
        compare_configurations(a, [a[0], odd], MARGINS)


def test_a_configuration_needs_two_runs(tmp_path, monkeypatch, capsys):
    names = write_seeds(tmp_path, "a", (0.0, 0.1))
    with pytest.raises(SystemExit):
        run_command(monkeypatch, ",".join(names), names[0])
    assert "expected two runs or more" in capsys.readouterr().err
