"""The plane of prompt fidelity and likeness: checkpoints have the room, labels cover nothing."""

import dataclasses
import re

import numpy as np
import pytest

from src.reporting.inputs import read_inputs
from src.reporting.page import build_report
from src.reporting.sections.metric_plane import (
    CLEAR_PX,
    HEIGHT_PX,
    LETTER_PX,
    NARROW_PX,
    PLACES,
    label_places,
    metric_plane,
)
from tests.reporting.project import facts


@pytest.fixture(scope="module")
def tables(project):
    return read_inputs(project)


def spots(plane):
    layers = [layer for layer in plane.spec["layer"] if layer["data"]["name"] == "spots"]
    return {row["name"]: row for layer in layers for row in layer["data"]["values"]}


def domain(plane, axis):
    layer = next(layer for layer in plane.spec["layer"] if layer["data"]["name"] == "spots")
    low, high = layer["encoding"][axis]["scale"]["domain"]
    return low, high


def test_every_checkpoint_is_where_its_metrics_are(tables):
    found = spots(metric_plane(tables))
    assert set(found) >= {"step-000100", "step-000200", "step-000300", "base"}
    assert found["step-000200"]["kind"] == "selected"
    assert (found["base"]["clip_t"], found["base"]["dino"]) == dev_means(tables, "base")
    assert (found["step-000300"]["clip_t"], found["step-000300"]["dino"]) == dev_means(tables, "step-000300")


def dev_means(tables, variant):
    rows = tables.scores[(tables.scores["set"] == "dev") & (tables.scores["variant"] == variant)]
    means = rows.groupby(["metric", "prompt_id"])["value"].mean().groupby("metric").mean().round(6)
    return means["clip_t"], means["dino"]


def test_without_dev_prompts_base_and_run_are_where_the_test_prompts_have_them(tables):
    tested = tables.scores[(tables.scores["set"] == "test") & tables.scores["variant"].isin(["base", "step-000200"])]
    only = {"checkpoints": {"step-000200": {}}}
    found = spots(metric_plane(dataclasses.replace(tables, scores=tested, metrics=tables.metrics | only)))
    for name, row in (("base", "base"), ("step-000200", "run")):
        assert found[name]["dino"] == tables.metrics[row]["dino"]


def test_a_far_reference_stretches_no_axis(tables):
    """Copied photos have the likeness of photos and say nothing about the prompt."""
    far = metric_plane(dataclasses.replace(tables, metrics=tables.metrics | {"copy": {"dino": 0.9, "clip_t": 0}}))
    without = {name: row for name, row in tables.metrics.items() if name != "copy"}
    assert domain(far, "x") == domain(metric_plane(dataclasses.replace(tables, metrics=without)), "x")
    assert "copy" not in spots(far)
    assert "copy (dino 0.90)" in far.far, "its prompts are not those of the plane"


def test_a_near_reference_is_generated(tables):
    near = tables.metrics["run"] | {"dino": tables.metrics["run"]["dino"] + 0.01}
    plane = metric_plane(dataclasses.replace(tables, metrics=tables.metrics | {"real": near}))
    assert spots(plane)["real"]["kind"] == "real"
    low, high = domain(plane, "y")
    assert low < near["dino"] < high


def test_a_reference_without_prompt_fidelity_is_a_line(tables):
    level = {"dino": tables.metrics["run"]["dino"]}
    plane = metric_plane(dataclasses.replace(tables, metrics=tables.metrics | {"real": level}))
    assert "real" not in spots(plane)
    assert any(layer["data"]["name"] == "across" for layer in plane.spec["layer"])


@pytest.mark.parametrize("seed", range(20))
def test_labels_cover_neither_points_nor_each_other(seed):
    random = np.random.default_rng(seed)
    points = [(float(x), float(y)) for x, y in random.uniform((40, 40), (NARROW_PX - 40, 160), (14, 2))]
    labels = ["50", "100", "1000"] * 4 + ["base", "real"]
    placed = []
    for (x, y), label, place in zip(points, labels, label_places(points, labels), strict=True):
        if place is None:
            continue
        right, down = PLACES[place]
        left = x + right if right > 0 else x + right - LETTER_PX * len(label)
        placed.append((left, y + down - 6, left + LETTER_PX * len(label), y + down + 6))
    assert len(placed) >= 6
    for number, (left, top, right, bottom) in enumerate(placed):
        assert left >= 0
        assert right <= NARROW_PX
        assert top >= 0
        assert bottom <= HEIGHT_PX
        for x, y in points:
            assert not (left < x < right and top < y < bottom)
        for other in placed[:number]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


def test_a_label_without_room_is_left_out():
    crowd = [(150.0 + CLEAR_PX / 3 * n, 180.0) for n in range(12)]
    places = label_places(crowd, ["step 1000"] * 12)
    assert places.count(None) >= 6
    assert places[0] is not None


@pytest.mark.parametrize("width", [390, 1280])
def test_labels_do_not_overlap_in_a_browser(own_project, browse, tmp_path, width):
    build_report(own_project, tmp_path / "report.html", facts())
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe id="f" src="file://{tmp_path}/report.html" style="width:{width}px;height:800px"></iframe><script>'
        "f.onload = () => setTimeout(() => {"
        "const boxes = [...f.contentDocument.querySelectorAll('#chart-scatter .mark-text text')]"
        ".map((text) => text.getBoundingClientRect());"
        "const meet = (a, b) => a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom;"
        "const pairs = boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) => meet(a, b)));"
        "document.title = boxes.length + ' ' + pairs.length}, 3000)</script>"
    )
    document, _ = browse(frame)
    labels, overlaps = re.search(r"<title>(\d+) (\d+)</title>", document).groups()
    assert int(labels) >= 4
    assert overlaps == "0"
