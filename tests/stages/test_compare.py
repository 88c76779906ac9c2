import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from src.core.config import load_config, to_dict
from src.core.errors import MetricError
from src.metrics.choice import choose_run
from src.metrics.comparison import compare_runs, differing_fields
from src.metrics.statistics import Verdict
from src.reporting.comparison_page import write_comparison
from src.stages import compare
from src.stages.compare import describe_pair
from tests.metrics.finished_runs import read_folder, with_pres, write_run, write_seeds


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
    assert f"Run to keep: {tmp_path / 'b'}" in page
    keep = f"To keep: {tmp_path / 'b'}, better than {tmp_path / 'a'}."
    assert f"2 runs on the same prompts, seeds and held-out photos, each against {tmp_path / 'a'}. {keep}" in page
    assert printed.endswith(f"{keep}\n")
    assert "Bonferroni" not in printed + page
    assert "<code>lr</code></td><td>0.0001</td><td>0.0003</td>" in page
    differences = pd.read_csv(tmp_path / "page_figures/forest-differences.csv")
    assert set(differences["name"]) == {str(tmp_path / "b")}
    of_dino = differences.set_index("metric").loc["dino_vits16"]
    assert of_dino["low"] < of_dino["difference"] < of_dino["high"]
    checkpoints = pd.read_csv(tmp_path / "page_figures/scatter-checkpoints.csv")
    assert checkpoints["name"].tolist() == [str(tmp_path / name) for name in "ab"]
    assert (checkpoints["clip_t_low"] < checkpoints["clip_t"]).all()
    assert "c" not in {row.rsplit("/", 1)[-1] for row in re.findall(r'<th scope="row"><i[^>]*></i>([^<]*)', page)}


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


def test_several_training_seeds_are_compared_by_run_means(tmp_path, monkeypatch, capsys):
    a, b = write_seeds(tmp_path, "a", (0.001, 0.003, 0.002)), write_seeds(tmp_path, "b", (0.101, 0.104, 0.102))
    run_command(monkeypatch, ",".join(a), ",".join(b))
    printed = capsys.readouterr().out
    assert "**BETTER**" in printed
    assert "| dino_vits16 | up | +0.1003 |" in printed
    assert "Welch's" in printed
    assert "| 6 runs |" in printed


def test_a_configuration_needs_two_runs(tmp_path, monkeypatch, capsys):
    names = write_seeds(tmp_path, "a", (0.0, 0.1))
    with pytest.raises(SystemExit):
        run_command(monkeypatch, ",".join(names), names[0])
    assert "expected two runs or more" in capsys.readouterr().err


def test_no_run_is_kept_that_is_not_shown_to_be_better(tmp_path, monkeypatch, capsys):
    """The other's test DINO is higher, by chance."""
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", effect=0.003)
    run_command(monkeypatch, tmp_path / "a", tmp_path / "b", "--out", tmp_path / "page.html")
    keep = f"No run is shown to be better than {tmp_path / 'a'}: keep {tmp_path / 'a'}."
    assert keep in (tmp_path / "page.html").read_text()
    assert capsys.readouterr().out.endswith(f"{keep}\n")


def test_several_comparisons_are_corrected_and_it_is_said(tmp_path, monkeypatch, capsys):
    for name, effect in zip("abcd", (0, 0.1, 0, 0), strict=True):
        write_run(tmp_path / name, effect=effect)
    write_run(tmp_path / "refused", meta={"seeds": [7]})
    runs = [tmp_path / name for name in ("a", "b", "c", "d", "refused")]
    run_command(monkeypatch, *runs, "--out", tmp_path / "page.html")
    printed, page = capsys.readouterr().out, (tmp_path / "page.html").read_text()
    for text in (printed, page):
        assert "3 runs are compared with the first, so the verdict takes every p times 3 (Bonferroni)" in text
    entries = compare.compare_all([read_folder(run) for run in runs], {})
    assert [entry.report.comparisons for entry in entries[1:4]] == [3, 3, 3]
    assert entries[4].report is None


def test_dino_alone_gets_a_verdict_and_a_page(tmp_path, monkeypatch, capsys):
    for name, effect in (("a", 0.0), ("b", 0.1)):
        write_run(tmp_path / name, effect=effect, metrics=("dino_vits16",))
    run_command(monkeypatch, tmp_path / "a", tmp_path / "b", "--out", tmp_path / "page.html")
    assert "**BETTER**" in capsys.readouterr().out
    page = (tmp_path / "page.html").read_text()
    assert "chart-forest" in page
    assert "chart-scatter" not in page
    assert not list(tmp_path.glob("page_figures/scatter*"))


def test_the_page_speaks_the_language_of_the_first_run(tmp_path, monkeypatch):
    run = write_run(tmp_path / "a", params={"report": {"language": "ru"}})
    run_command(monkeypatch, run.name, run.name, "--out", tmp_path / "page.html")
    assert '<html lang="ru">' in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("section", ["evaluate", "report"])
def test_a_run_without_its_settings_is_refused(tmp_path, monkeypatch, capsys, section):
    run = write_run(tmp_path / "a", params={section: None})
    with pytest.raises(SystemExit):
        run_command(monkeypatch, run.name, run.name, "--out", tmp_path / "page.html")
    assert f"its params.yaml has no {section}." in capsys.readouterr().err


@pytest.mark.parametrize("out", ["folder", "file/page.html"])
def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch, capsys, out):
    write_run(tmp_path / "a")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(SystemExit) as stop:
        run_command(monkeypatch, tmp_path / "a", tmp_path / "a", "--out", tmp_path / out)
    assert stop.value.code == 1
    assert f"--out {tmp_path / out}: expected a file that can be written, found: " in capsys.readouterr().err


def test_a_single_comparison_that_is_refused_ends_the_command(tmp_path, monkeypatch, capsys):
    for name in "abc":
        write_run(tmp_path / name, meta={"seeds": [ord(name)]})
    with pytest.raises(SystemExit):
        run_command(monkeypatch, *(tmp_path / name for name in "abc"), "--out", tmp_path / "page.html")
    assert capsys.readouterr().err.count("they differ in seeds") == 2
    assert not (tmp_path / "page.html").exists()


def test_the_documented_experiment_may_be_compared():
    """Another crop size or other prompts would make every reference and sample another one."""
    (line,) = re.findall(r"`dvc exp run -n dora (.*?)`", Path("docs/comparing.md").read_text())
    first, dora = (to_dict(load_config(overrides)) for overrides in ([], line.removeprefix("-S ").split(" -S ")))
    assert [key for key in first if first[key] != dora[key]] == ["method"]
