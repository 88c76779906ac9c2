"""`python -m src.commands.compare` as people type it."""

import json
import re
import sys

import pandas as pd
import pytest
import yaml

from src.commands import compare
from tests.comparison.finished_runs import read_folder, write_run, write_seeds
from tests.metrics.quantities import described


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


def test_experiments_that_cannot_be_read_are_left_out_with_a_line(tmp_path, monkeypatch, capsys):
    """One that failed before evaluate must not end the comparison of the others."""
    for name in ("a", "whole", "damaged"):
        write_run(tmp_path / name)
    (tmp_path / "damaged/metrics/scores.csv").write_text("cut o")
    names = [str(tmp_path / name) for name in ("damaged", "nothing", "whole")]
    monkeypatch.setattr(compare, "list_experiments", lambda: names)
    run_command(monkeypatch, tmp_path / "a", "--experiments", "--out", tmp_path / "page.html")
    told = capsys.readouterr()
    assert f"B = {tmp_path / 'whole'}" in told.out
    left_out = told.err.splitlines()
    assert len(left_out) == 2
    assert "damaged: metrics/scores.csv is damaged" in left_out[0]
    assert "nothing" in left_out[1]


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
    keep = f"To keep: the checkpoint of {tmp_path / 'b'}, better than that of {tmp_path / 'a'}."
    assert f"2 runs on the same prompts, seeds and held-out photos, each against {tmp_path / 'a'}. {keep}" in page
    assert printed.endswith(f"{keep}\n")
    assert "Bonferroni" not in printed + page
    assert "<code>lr</code></td><td>0.0001</td><td>0.0003</td>" in page
    differences = pd.read_csv(tmp_path / "page_figures/forest-differences.csv")
    assert set(differences["name"]) == {str(tmp_path / "b")}
    of_dino = differences.set_index("metric").loc["dino"]
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
        ("report: {borrowed: [{what: x, link: 'javascript:alert(1)'}]}", "expected an address that begins with http"),
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
    assert "| dino | up | +0.1003 |" in printed
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
        write_run(tmp_path / name, effect=effect, metrics=("dino",))
    run_command(monkeypatch, tmp_path / "a", tmp_path / "b", "--out", tmp_path / "page.html")
    assert "**BETTER**" in capsys.readouterr().out
    page = (tmp_path / "page.html").read_text()
    assert "chart-forest" in page
    assert "chart-scatter" not in page
    assert not list(tmp_path.glob("page_figures/scatter*"))


def test_the_page_names_the_model_that_measured_and_says_all_in_russian(tmp_path, monkeypatch):
    given = {"meta": {"quantities": described("tabletop")}, "params": {"report": {"language": "ru"}}}
    for name, effect in (("a", 0.0), ("b", -0.1)):
        write_run(tmp_path / name, effect=effect, **given)
    run_command(monkeypatch, tmp_path / "a", tmp_path / "b", "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    text = re.sub(r"(?s)<(style|script|details).*?</\1>", "", page)
    assert "<b>ХУЖЕ</b>" in text
    assert "<code>python -m src.commands.seeds --seeds 5</code>" in text
    assert "Модель-оценщик сходства: DINO" in text
    assert "<li>dino_tabletop: ясно, ниже" in text
    assert not re.search(r"(?<![\w/.-])(dino|clip_t)(?![\w-])", re.sub(r"<[^>]+>", " ", text))
    assert json.dumps("dino_tabletop ↑").strip('"') in page


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
