import sys
from dataclasses import replace

from src.reporting.comparison_charts import metric_scatter, pareto_front
from src.reporting.comparison_page import changed_parameters, checkpoint_rows
from src.reporting.inputs import read_inputs
from src.reporting.metric_plane import metric_plane
from src.stages import compare
from tests.metrics.finished_runs import write_run


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
    rows = [{"clip_t": across, "dino": up} for across, up in points]
    assert [(row["clip_t"], row["dino"]) for row in pareto_front(rows)] == [(0.1, 0.9), (0.3, 0.8)]


def test_a_checkpoint_without_an_interval_is_a_point_without_one(tmp_path):
    """One prompt with one image."""
    run = write_run(tmp_path / "a")
    scores = run.scores[(run.scores["prompt_id"] == "p0") & (run.scores["seed"] == 0)]
    (row,) = checkpoint_rows(replace(run, scores=scores))
    assert row.keys() == {"name", "step", "selected", "clip_t", "dino"}
    assert row["selected"]
    layers = metric_scatter([row], [run.name])["layer"]
    assert [layer["data"]["values"] for layer in layers if layer["data"]["name"] == "intervals"] == [[], []]


def test_the_report_draws_no_cross_where_there_is_no_interval(project):
    inputs = read_inputs(project)
    one = inputs.scores["prompt_id"] == inputs.scores[inputs.scores["set"] == "test"]["prompt_id"].iloc[0]
    lone = replace(inputs, scores=inputs.scores[one & (inputs.scores["seed"] == inputs.scores["seed"].min())])
    for tables, crosses in ((inputs, 2), (lone, 0)):
        layers = metric_plane(tables).spec["layer"]
        drawn = [layer["data"]["values"] for layer in layers if layer["data"]["name"] == "intervals"]
        assert [len(rows) for rows in drawn] == [crosses, crosses]


def test_the_page_draws_its_charts_in_a_browser_without_a_complaint(tmp_path, monkeypatch, browse):
    runs = [str(write_run(tmp_path / name, effect=effect).name) for name, effect in (("a", 0.0), ("b", 0.1))]
    page = tmp_path / "page.html"
    monkeypatch.setattr(sys, "argv", ["compare", *runs, "--out", str(page)])
    compare.main()
    document, complaints = browse(page)
    assert complaints == []
    figures = document.split('<figure class="chart">')[1:]
    assert len(figures) >= 2
    assert all("<svg" in figure.split("</figure>")[0] for figure in figures)
