"""Charts by prompt group and prompt by prompt: how many prompts stand behind a bar, what is a gain and what is not."""

import dataclasses

import pytest

from src.reporting.inputs import read_inputs
from src.reporting.sections.groups import group_charts, prompt_heatmap
from src.reporting.texts import load_texts

TEXTS = load_texts("en")


@pytest.fixture(scope="module")
def tables(project):
    return read_inputs(project)


def called(tables, metric):
    """The same tables, one metric under another name."""
    return dataclasses.replace(tables, scores=tables.scores.replace({"metric": {"clip_t": metric}}))


def names(spec):
    return list(dict.fromkeys(row["group"] for row in spec["data"]["values"]))


def test_group_names_tell_how_many_prompts_they_have(tables):
    counted = ["outfit (n=5)", "property (n=5)", "recontext (n=5)", "style (n=5)"]
    assert names(group_charts(tables, TEXTS)["clip_t"]) == counted
    scores = tables.scores
    subject_only = dataclasses.replace(
        tables, scores=scores[(scores["group"] != "style") | (scores["prompt_id"] == "test-15")]
    )
    assert names(group_charts(subject_only, TEXTS)["clip_t"])[-1] == "style (n=1)"
    missing = (scores["variant"] == "base") & (scores["prompt_id"] == "test-15") & (scores["metric"] == "clip_t")
    uneven = dataclasses.replace(tables, scores=scores.assign(value=scores["value"].mask(missing)))
    chart = group_charts(uneven, TEXTS)["clip_t"]
    assert names(chart)[-1] == "style (n=5/4)"
    assert len(chart["data"]["values"]) == 2 * 4


def test_group_charts_say_which_side_is_better(tables):
    titles = {metric: spec["encoding"]["x"]["title"] for metric, spec in group_charts(tables, TEXTS).items()}
    assert (titles["clip_t"], titles["nn_train"]) == ("clip_t ↑", "nn_train")


def test_prompt_heatmap_holds_the_gain_of_every_prompt_and_metric_with_a_better_side(tables):
    spec = prompt_heatmap(tables, TEXTS)
    cells = {(cell["prompt"], cell["metric"]): cell["gain"] for cell in spec["data"]["values"]}
    assert len(cells) == 20 * 4
    assert {metric for _, metric in cells} == {"dino", "clip_i", "clip_t", "div_lpips"}
    rows = tables.scores[(tables.scores["prompt_id"] == "test-03") & (tables.scores["metric"] == "clip_t")]
    means = rows.groupby("variant")["value"].mean()
    assert cells["test-03", "clip_t"] == pytest.approx(means["step-000200"] - means["base"], abs=1e-4)


def test_prompt_heatmap_gives_each_metric_its_own_scale(tables):
    """The largest change of a metric has the full colour, however small it is beside another's."""
    scores = tables.scores
    small = scores["value"].where(scores["metric"] != "clip_t", scores["value"] / 20)
    cells = prompt_heatmap(dataclasses.replace(tables, scores=scores.assign(value=small)), TEXTS)["data"]["values"]
    for metric in ("clip_t", "dino"):
        shares = [cell["share"] for cell in cells if cell["metric"] == metric]
        assert max(map(abs, shares)) == 1
        assert all(cell["share"] * cell["gain"] >= 0 for cell in cells if cell["metric"] == metric)


def test_prompt_heatmap_calls_a_fall_a_gain_where_lower_is_better(tables):
    gains = [cell for cell in prompt_heatmap(tables, TEXTS)["data"]["values"] if cell["metric"] == "clip_t"]
    losses = [
        cell for cell in prompt_heatmap(called(tables, "pres"), TEXTS)["data"]["values"] if cell["metric"] == "pres"
    ]
    assert [-cell["gain"] for cell in losses] == [cell["gain"] for cell in gains]


@pytest.mark.parametrize("metric", ["copy_gap", "nn_train", "a_metric_of_ones_own"])
def test_prompt_heatmap_leaves_out_what_has_no_better_side(tables, metric):
    found = called(dataclasses.replace(tables, scores=tables.scores[tables.scores["metric"] == "clip_t"]), metric)
    assert prompt_heatmap(found, TEXTS) is None
