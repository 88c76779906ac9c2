"""Means are taken over prompts, the checkpoint is chosen on dev prompts, and metrics.json holds only numbers."""

import pytest

from src.core.errors import ConfigError, MetricError
from src.metrics.drift import Drift
from src.metrics.intervals import Interval
from src.metrics.summary import (
    choose_names,
    mean_scores,
    prompt_table,
    rounded,
    score_table,
    summarise,
)
from tests.metrics.synthetic import score

STEPS = {"step-000100": 100, "step-000200": 200, "step-000300": 300}
KNOWN = ["clip_i", "clip_t", "div_lpips", "dino"]


def test_names_accept_the_aliases_of_the_assignment():
    assert choose_names(["text_sim", "dino", "image_sim"], KNOWN) == ["clip_t", "dino", "clip_i"]


@pytest.mark.parametrize(
    ("names", "words"),
    [(["clipt"], "unknown clipt; known are clip_i, clip_t"), ([], "at least"), (["dino"] * 2, "once")],
)
def test_names_refuse_what_is_unknown_or_twice(names, words):
    with pytest.raises(ConfigError, match=words):
        choose_names(names, KNOWN)


def test_mean_gives_each_prompt_the_same_weight():
    table = score_table([score("base", "p", 1.0, seed=0), score("base", "p", 0.0, seed=1), score("base", "q", 0.1)])
    assert mean_scores(table, "base", "test") == {"dino": pytest.approx(0.3)}  # pooled it would be 0.366667


def test_mean_does_not_depend_on_order():
    rows = [score("base", f"p{i}", 0.1 * i, seed=s) for i in range(4) for s in range(3)]
    assert score_table(rows).equals(score_table(rows[::-1]))


def test_two_metrics_cannot_write_one_key():
    with pytest.raises(MetricError, match="scored twice for the same image: dino"):
        score_table([score("base", "p", 0.5), score("base", "q", 0.5), score("base", "p", 0.6)])


def test_mean_leaves_missing_values_out_and_never_counts_them_as_zero():
    table = score_table(
        [score("base", "p", 0.5, seed=0), score("base", "q", None), score("base", "p", None, "div_lpips")]
    )
    assert mean_scores(table, "base", "test") == {"dino": 0.5}


def test_mean_names_the_references():
    table = score_table([score("base", "p", 0.5), score("base", "p", 0.7, references="train")])
    assert mean_scores(table, "base", "test") == {"dino": 0.5, "dino_train": 0.7}
    real = [score("real", "h", 0.5, prompt_set="none"), score("real", "h", 0.7, references="train", prompt_set="none")]
    expected = {"dino_leave_one_out": 0.5, "dino": 0.7}
    assert mean_scores(score_table(real), "real", "none") == expected


def full_table():
    rows = []
    for i, variant in enumerate(("base", *STEPS)):
        for prompt_set in ("dev", "test"):
            for seed in (0, 1):
                rows.append(score(variant, prompt_set, 0.1 * i, prompt_set=prompt_set, seed=seed))
                rows.append(score(variant, prompt_set, None, "div_lpips", "none", prompt_set, seed))
    rows.append(score("real", "held_out", 0.9, references="train", prompt_set="none"))
    rows.append(score("copy", "test", 0.8))
    return score_table(rows)


def leaves(node):
    return [leaf for value in node.values() for leaf in leaves(value)] if isinstance(node, dict) else [node]


def test_summary_holds_only_numbers_and_the_chosen_run():
    table = full_table()
    summary = summarise(
        table, STEPS, "step-000300", {"step-000300": Drift(0.0123456789, Interval(0.0123456789, -0.1, 0.12))}, ["dino"]
    )
    assert summary["selected_step"] == 300
    assert summary["run"] == {"dino": 0.3, "kid": 0.012346}
    assert summary["checkpoints"]["step-000300"] == {"dino": 0.3}
    assert "kid" not in summary["base"]
    assert summary["against_base"]["kid"] == {"mean": 0.012346, "low": -0.1, "high": 0.12}
    assert (summary["base"], summary["real"], summary["copy"]) == (
        {"dino": 0.0},
        {"dino": 0.9},
        {"dino": 0.8},
    )
    assert summary["counts"]["scored"] == {"dino": 18, "div_lpips": 0}
    assert summary["counts"]["without_value"] == {"dino": 0, "div_lpips": 16}
    assert (summary["counts"]["images_per_variant"], summary["counts"]["test_prompts"]) == (4, 1)
    assert all(type(leaf) in (int, float) for leaf in leaves(summary))


def test_prompt_table_pairs_run_and_base():
    table = score_table(
        [score(v, p, x) for v, p, x in (("base", "p", 0.1), ("step-000100", "p", 0.2), ("base", "q", 0.3))]
        + [score("step-000100", "q", 0.5, seed=s) for s in (0, 1)]
        + [score("base", "p", 0.9, references="train"), score("base", "d", 0.9, prompt_set="dev")]
    )
    rows = prompt_table(table, "step-000100").to_dict("records")
    assert [(row["prompt_id"], row["dino"], row["dino_base"]) for row in rows] == [
        ("p", 0.2, 0.1),
        ("q", 0.5, 0.3),
    ]


def test_rounded_has_six_digits_and_no_minus_zero():
    assert rounded(0.12345678) == 0.123457
    assert str(rounded(-1e-9)) == "0.0"
