"""Which run to keep: decided by verdicts, and among better ones on the dev prompts."""

from dataclasses import replace

import numpy as np
import pytest

from src.comparison.choice import Why, choose_run
from src.comparison.statistics import Verdict
from src.comparison.verdict import compare_runs
from src.core.errors import MetricError
from tests.comparison.finished_runs import write_run


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


def test_without_any_that_keeps_its_prompts_both_metrics_are_weighed(runs):
    """Likeness 0.9 against 0.8, for 0.002 of clip_t, which weigh 0.008; at a rate of 100 they weigh 0.2."""
    for clip_margin, kept in ((0.005, "d"), (0.0002, "b")):
        evaluate = {"margins": {"dino": 0.02, "clip_t": clip_margin}, "select_clip_t_margin": -0.1}
        others = [(run, compare_runs(runs["a"], run, 0)) for run in (runs["d"], runs["b"])]
        first = replace(runs["a"], params={**runs["a"].params, "evaluate": evaluate})
        assert choose_run(first, others).run is runs[kept]


def open_in_clip_t(run, likeness):
    """The same run with other likeness, and clip_t that nobody can tell from the first's."""
    scores, random = run.scores.copy(), np.random.default_rng(1)
    scores.loc[scores["metric"] == "dino", "value"] += likeness
    of_clip = (scores["metric"] == "clip_t") & (scores["set"] == "test")
    scores.loc[of_clip, "value"] += random.normal(0, 0.05, of_clip.sum())
    return replace(run, name=f"{run.name} {likeness}", scores=scores)


def test_a_run_that_is_clearly_worse_in_likeness_is_never_recommended(runs):
    """The case that was found: the first had learnt nothing, another was 0.15 ahead, and the first was recommended."""
    ahead = open_in_clip_t(runs["a"], 0.15)
    report = compare_runs(runs["a"], ahead, 0)
    assert report.verdict is Verdict.INCONCLUSIVE
    choice = choose_run(runs["a"], [(ahead, report)])
    assert (choice.run, choice.why, choice.ahead) == (None, Why.OPEN, ((ahead, ("dino",)),))
    behind = open_in_clip_t(runs["a"], -0.15)
    assert choose_run(runs["a"], [(behind, compare_runs(runs["a"], behind, 0))]).run is runs["a"]


def test_a_run_beside_the_better_one_that_exceeds_it_in_likeness_is_named(runs):
    others = [runs["b"], open_in_clip_t(runs["a"], 0.5)]
    choice = choose_run(runs["a"], [(run, compare_runs(runs["a"], run, 0)) for run in others])
    assert (choice.run, [run for run, _ in choice.ahead]) == (runs["b"], [others[1]])


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
