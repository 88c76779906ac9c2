import re
import sys
from dataclasses import replace

import pytest
from PIL import Image

from src.commands import compare
from src.metrics.intervals import Interval
from src.reporting.charts import forest
from src.reporting.comparison.figures import checkpoint_rows, metric_scatter, pareto_front, placed_labels
from src.reporting.comparison.page import changed_parameters
from src.reporting.inputs import read_inputs
from src.reporting.sections.metric_plane import metric_plane
from tests.comparison.finished_runs import write_run
from tests.metrics.quantities import QUANTITIES


def test_changed_parameters_name_no_place_of_this_machine():
    a, b = ({"model": {"id": f"/home/ira/{name}"}} for name in "ab")
    assert changed_parameters(a, b) == [("model.id", "…/a", "…/b")]


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
    layers = metric_scatter([row], [run.name], None, str)["layer"]
    assert [layer["data"]["values"] for layer in layers if layer["data"]["name"] == "intervals"] == [[], []]


def test_the_report_generates_no_cross_where_there_is_no_interval(project):
    inputs = read_inputs(project)
    one = inputs.scores["prompt_id"] == inputs.scores[inputs.scores["set"] == "test"]["prompt_id"].iloc[0]
    subject_only = replace(inputs, scores=inputs.scores[one & (inputs.scores["seed"] == inputs.scores["seed"].min())])
    for tables, crosses in ((inputs, 2), (subject_only, 0)):
        layers = metric_plane(tables).spec["layer"]
        generated = [layer["data"]["values"] for layer in layers if layer["data"]["name"] == "intervals"]
        assert [len(rows) for rows in generated] == [crosses, crosses]


def test_the_page_generates_its_charts_in_a_browser_without_a_complaint(tmp_path, monkeypatch, browse):
    runs = [str(write_run(tmp_path / name, effect=effect).name) for name, effect in (("a", 0.0), ("b", 0.1))]
    page = tmp_path / "page.html"
    monkeypatch.setattr(sys, "argv", ["compare", *runs, "--out", str(page)])
    compare.main()
    document, complaints = browse(page)
    assert complaints == []
    figures = document.split('<figure class="chart">')[1:]
    assert len(figures) >= 2
    assert all("<svg" in figure.split("</figure>")[0] for figure in figures)


def scale_of(spec):
    """The colour of each run in a chart."""
    scales = [
        layer["encoding"]["color"]["scale"] for layer in spec["layer"] if "name" in str(layer["encoding"].get("color"))
    ]
    (scale,) = {(tuple(scale["domain"]), tuple(scale["range"])) for scale in scales}
    return dict(zip(*scale, strict=True))


def test_a_run_has_one_colour_in_all_charts(tmp_path):
    """The first run is in one chart alone, so that colours by order would shift."""
    names = ["a", "b", "c"]
    rows = [{"name": name, "step": 1, "selected": True, "dino": 0.1, "clip_t": 0.1} for name in names]
    plane = scale_of(metric_scatter(rows, names, None, str))
    differences = scale_of(
        forest({name: {"dino": Interval(0, 0, 0)} for name in names[1:]}, {}, "t", QUANTITIES, names)
    )
    assert plane == differences
    assert len(set(plane.values())) == 3


def test_labels_do_not_lie_on_one_another_and_chosen_ones_come_first():
    base = {"name": "base", "dino": 0.0, "clip_t": 1.0}
    at = [(50, 0.5, 0.0, False), (100, 0.51, 0.01, True), (150, 0.51, 0.5, False)]
    rows = [{"name": "a", "step": step, "selected": chosen, "dino": up, "clip_t": x} for step, up, x, chosen in at]
    assert [row["step"] for row in placed_labels(rows, base)] == [100, 150]


def sample(folder, name):
    """Samples of a finished run: one image of base and of the chosen checkpoint for each of five prompts."""
    lines = ["variant,prompt_id,set,group,prompt,prompt_plain,seed,path,sha256"]
    for variant in ("base", "step-000100"):
        for number in range(5):
            path = f"{variant}/p{number}/0.png"
            (folder / name / "data/samples" / path).parent.mkdir(parents=True)
            Image.new("RGB", (8, 8), (number * 40, 0, 0)).save(folder / name / "data/samples" / path)
            group = "ground" if number < 2 else f"other{number}"
            lines.append(f"{variant},p{number},test,{group},prompt {number},prompt {number},0,{path},x")
    (folder / name / "data/samples/manifest.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Three runs, of which one has no pictures any more, with a name that is too long for a phone."""
    names = ["a", "b", "without-pictures-and-with-a-name-that-is-long"]
    for number, name in enumerate(names):
        write_run(tmp_path / name, 0.05 * number, params={"lr": 1e-4 * (number + 1)})
    for name in names[:2]:
        sample(tmp_path, name)
    monkeypatch.setattr(
        sys, "argv", ["compare", *(str(tmp_path / name) for name in names), "--out", str(tmp_path / "p.html")]
    )
    compare.main()
    return tmp_path / "p.html"


def test_the_page_shows_what_the_runs_generate_and_fits_a_phone(page, browse, tmp_path):
    text = page.read_text()
    # a prompt of each group first: 0, 2, 3, 4; of base and of the two runs that have pictures
    assert re.findall(r"<q>(prompt \d)</q>", text) == ["prompt 0", "prompt 2", "prompt 3", "prompt 4"]
    assert text.count("data:image/webp") == 4 * 3
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe id="f" src="file://{page}" style="width:390px;height:800px"></iframe><script>'
        "f.onload = () => setTimeout(() => {const page = f.contentDocument.documentElement;"
        "document.title = page.clientWidth + ' ' + page.scrollWidth}, 2000)</script>"
    )
    document, _ = browse(frame)
    visible, whole = re.search(r"<title>(\d+) (\d+)</title>", document).groups()
    assert whole == visible
