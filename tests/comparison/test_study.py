"""Settings over training seeds: means, pairs with Holm over all of them, the front, and smaller studies."""

from itertools import combinations

import numpy as np
import pytest

from src.comparison.statistics import Verdict, holm
from src.comparison.study import Contestant, compare_pairs, front, settings_means, small_studies
from src.comparison.verdict import run_means
from src.core.errors import MetricError
from src.metrics.intervals import students_interval
from tests.comparison.finished_runs import write_run


def contestant(folder, name, effects, lr=1e-4):
    runs = [
        write_run(
            folder / f"{name}{n}", effect, seed=7, params={"seed": n, "lr": lr, "prior": {"weight": 0.0, "seed": n}}
        )
        for n, effect in enumerate(effects)
    ]
    return Contestant(name, tuple(runs))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return [
        contestant(folder, "low", [0.1, 0.11, 0.12, 0.105, 0.115], 1e-4),
        contestant(folder, "high", [0.3, 0.31, 0.29, 0.305, 0.295], 2e-4),
        contestant(folder, "as high", [0.3, 0.315, 0.29, 0.3, 0.295], 3e-4),
    ]


def test_a_mean_over_runs_has_students_interval_of_the_runs_means(three):
    means = [run_means(run)["dino"] for run in three[0].runs]
    assert settings_means(three[0])["dino"] == students_interval(np.array(means))


def test_pairs_are_judged_by_p_values_that_count_all_of_them(three):
    pairs = compare_pairs(three)
    assert [(pair.a, pair.b) for pair in pairs] == list(combinations(["low", "high", "as high"], 2))
    raw = {(pair.a, pair.b, m): pair.report.metrics[m].p for pair in pairs for m in pair.report.primaries}
    adjusted = {(pair.a, pair.b, m): p for pair in pairs for m, p in pair.adjusted.items()}
    assert len(raw) == 6
    assert adjusted == holm(raw)
    assert [pair.verdict for pair in pairs] == [Verdict.BETTER, Verdict.BETTER, Verdict.EQUIVALENT]


def test_the_same_setting_with_other_seeds_is_hardly_ever_better(tmp_path):
    """Twenty pairs of settings that differ by chance alone: at most one may be told apart."""
    random = np.random.default_rng(0)
    firm = 0
    for n in range(20):
        sides = [contestant(tmp_path / f"{n}-{side}", "run", random.normal(0.2, 0.03, 5), lr=side) for side in (1, 2)]
        (pair,) = compare_pairs([Contestant("a", sides[0].runs), Contestant("b", sides[1].runs)])
        firm += pair.verdict in (Verdict.BETTER, Verdict.WORSE)
    assert firm <= 1


def test_one_setting_is_no_study(three):
    with pytest.raises(MetricError, match="two settings or more"):
        compare_pairs(three[:1])


def test_the_front_has_what_none_exceeds_in_both():
    points = {"a": (0.3, 0.6), "b": (0.4, 0.5), "c": (0.2, 0.5), "d": (0.3, 0.5), "e": (0.4, 0.5)}
    assert front(points) == ["b", "e", "a"]


def test_small_studies_of_settings_far_apart_name_the_winner_and_of_equal_ones_often_another(three):
    far = small_studies(three[:2], 0)
    assert (far.best, far.other) == ("high", 0)
    near = small_studies(three[1:], 0)
    assert near.best == "high"
    assert 0.3 < near.other < 0.7
    assert sum(near.winners.values()) == pytest.approx(1)
    assert near == small_studies(three[1:], 0)


def test_small_studies_draw_the_same_images_of_every_setting(tmp_path):
    """One setting is the other plus a constant on every image, so no draw may turn them round."""
    pair = [contestant(tmp_path, "low", [0.1] * 2, 1), contestant(tmp_path, "high", [0.101] * 2, 2)]
    assert small_studies(pair, 0).other == 0
