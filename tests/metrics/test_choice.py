"""Which run to keep: decided by verdicts, and among better ones on the dev prompts."""

from dataclasses import replace

import pytest

from src.core.errors import MetricError
from src.metrics.choice import Why, choose_run
from src.metrics.comparison import compare_runs
from tests.metrics.finished_runs import write_run


def choose(first, *others):
    choice = choose_run(first, [(run, compare_runs(first, run, 0)) for run in others])
    return choice.run.name.rsplit("/", 1)[-1], choice.why


@pytest.fixture
def runs(tmp_path):
    """On the test prompts c gains most; on the dev prompts b has more than c, and more still d, without its clip_t."""
    return {
        name: write_run(tmp_path / name, effect=effect, dev=dev)
        for name, effect, dev in (
            ("a", 0.0, (0.5, 0.5)),
            ("b", 0.1, (0.8, 0.481)),
            ("c", 0.2, (0.7, 0.5)),
            ("d", 0.1, (0.9, 0.479)),
            ("same", 0.003, (9.0, 9.0)),
        )
    }


def test_the_first_is_kept_unless_another_is_better(runs):
    assert choose(runs["a"]) == ("a", Why.NONE_BETTER)
    assert choose(runs["a"], runs["same"]) == ("a", Why.NONE_BETTER)
    assert choose(runs["c"], runs["a"], runs["b"]) == ("c", Why.NONE_BETTER)
    assert choose(runs["a"], runs["d"], runs["same"]) == ("d", Why.BETTER)


def test_dev_prompts_choose_among_better_runs(runs):
    assert choose(runs["a"], runs["b"], runs["c"], runs["d"], runs["same"]) == ("b", Why.BETTER)


def test_without_any_that_keeps_its_prompts_the_highest_clip_t_is_chosen(runs):
    strict = {**runs["a"].params, "evaluate": {**runs["a"].params["evaluate"], "select_clip_t_margin": -0.1}}
    first = replace(runs["a"], params=strict)
    assert choose(first, runs["d"], runs["b"]) == ("b", Why.BETTER)


def test_without_clip_t_the_highest_dino_is_chosen(runs):
    lone = {name: replace(run, scores=run.scores[run.scores["metric"] != "clip_t"]) for name, run in runs.items()}
    assert choose(lone["a"], lone["b"], lone["c"], lone["d"]) == ("d", Why.BETTER)


def test_without_dev_prompts_the_first_named_is_kept(runs):
    lone = {name: replace(run, scores=run.scores[run.scores["set"] != "dev"]) for name, run in runs.items()}
    assert choose(lone["a"], lone["b"], lone["c"]) == ("b", Why.UNDECIDED)


def test_a_first_run_without_the_margin_of_the_rule_is_named(runs):
    first = replace(runs["a"], params={"evaluate": {"margins": runs["a"].params["evaluate"]["margins"]}})
    others = [(run, compare_runs(runs["a"], run, 0)) for run in (runs["b"], runs["c"])]
    with pytest.raises(MetricError, match=r"no evaluate\.select_clip_t_margin"):
        choose_run(first, others)
