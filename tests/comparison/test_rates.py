"""The search for a learning rate: three, further at an edge, by the rule of the checkpoints."""

import pytest

from src.comparison.rates import MAX_RATES, Tried, choose_rate, lies_at_edge, next_rates
from src.comparison.selection import SelectionRule
from src.core.errors import MetricError
from tests.comparison.finished_runs import write_run

RULE = SelectionRule(clip_t_margin=0.1, exchange=1.0)


def searched(likeness, fidelity=lambda _: 0.6, fails=lambda _: False, middle=3e-4):
    """Runs the search on made-up trainings; returns the rates in the order tried and the choice."""
    tried = {}
    order = []
    while rates := next_rates(middle, tried, RULE):
        for rate in rates:
            order.append(rate)
            dev = {"dino": likeness(rate), "clip_t": fidelity(rate)}
            tried[rate] = Tried.failed(rate) if fails(rate) else Tried(rate, dev, 0.6)
    return order, choose_rate(tried, RULE)


def test_a_best_rate_in_the_middle_ends_the_search():
    assert searched(lambda rate: -abs(rate - 3e-4)) == ([1e-4, 3e-4, 9e-4], 3e-4)


def test_the_search_goes_on_where_the_best_rate_lies_at_the_edge():
    order, best = searched(lambda rate: -abs(rate - 2.7e-3))
    assert (order, best) == ([1e-4, 3e-4, 9e-4, 2.7e-3, 8.1e-3], 2.7e-3)
    order, best = searched(lambda rate: -rate)
    assert len(order) == MAX_RATES
    assert best == min(order) == pytest.approx(3.7e-6)


def test_a_rate_that_loses_the_prompt_is_not_chosen_though_it_has_more_likeness():
    assert searched(lambda rate: rate, fidelity=lambda rate: 0.6 if rate < 5e-4 else 0.4)[1] == 3e-4


def test_a_rate_whose_training_fails_is_passed_over_and_all_failing_is_an_error():
    assert searched(lambda rate: rate, fails=lambda rate: rate > 5e-4)[1] == 3e-4
    with pytest.raises(MetricError, match=r"no training came to an end, with rates of 0\.0001, 0\.0003, 0\.0009"):
        searched(lambda rate: rate, fails=lambda _: True)


def test_the_figures_are_those_of_the_dev_prompts(tmp_path):
    found = Tried.of(1e-4, write_run(tmp_path / "run", dev=(0.7, 0.8)))
    assert (found.dev, found.base) == ({"dino": 0.7, "clip_t": 0.8}, 0.5)
    with pytest.raises(MetricError, match="no clip_t on the dev prompts"):
        Tried.of(1e-4, write_run(tmp_path / "half", dev=(0.7, 0.8), metrics=("dino",)))


def test_the_configured_rate_is_tried_as_it_is_and_nothing_twice():
    order, _ = searched(lambda rate: -rate, middle=1.25e-4)
    assert order[:3] == [4.2e-5, 1.25e-4, 3.8e-4]
    assert len(set(order)) == len(order)


def test_a_choice_at_the_edge_of_what_was_tried_is_known():
    tried = {rate: Tried(rate, {"dino": 0.1, "clip_t": 0.6}, 0.6) for rate in (1e-4, 3e-4, 9e-4)}
    assert [lies_at_edge(rate, tried) for rate in tried] == [True, False, True]
    assert not lies_at_edge(1e-4, {})
