import itertools

import numpy as np
import pytest
from scipy.special import stdtr

from src.comparison import statistics
from src.comparison.statistics import (
    Comparison,
    Finding,
    Verdict,
    adjust,
    blocked_by,
    compare_run_means,
    compare_scores,
    find,
    holm,
    sign_flip,
    verdict_of,
)
from src.metrics import intervals
from src.metrics.intervals import Interval, Unit, standard_error, students_interval

MARGINS = {"dino": 0.02, "clip_t": 0.005}


def simulate(random, effect, prompts=25, seeds=4, size=1.0):
    """Prompts differ by .04, images of a prompt by .06."""
    return effect + size * (random.normal(0, 0.04, (prompts, 1)) + random.normal(0, 0.06, (prompts, seeds)))


def of(low, high, p=0.001):
    return Comparison(Interval((low + high) / 2, low, high), p, 0.01, Unit.PROMPTS, 25)


@pytest.fixture
def few_draws(monkeypatch):
    """Enough for many repeats."""
    for module in (intervals, statistics):
        monkeypatch.setattr(module, "DRAWS", 2_000)


@pytest.mark.usefixtures("few_draws")
def test_interval_covers_the_truth_in_93_to_97_percent_and_false_better_stays_under_5():
    random = np.random.default_rng(0)
    repeats, covered, better = 500, 0, 0
    for repeat in range(repeats):
        pair = {
            "dino": compare_scores(simulate(random, 0.0), repeat),
            "clip_t": compare_scores(simulate(random, 0.0, size=0.25), repeat),
        }
        interval = pair["dino"].interval
        covered += interval.low <= 0 <= interval.high
        better += verdict_of(pair, MARGINS, adjust(pair, 1)) is Verdict.BETTER
    assert 0.93 <= covered / repeats <= 0.97
    assert better / repeats < 0.05


def test_sign_flip_is_exact_for_few_prompts():
    values = np.array([0.3, 0.1, -0.05, 0.2, 0.4])
    means = [abs(np.mean(values * flips)) for flips in itertools.product((-1, 1), repeat=5)]
    assert sign_flip(values, 0) == pytest.approx(np.mean([mean >= abs(values.mean()) - 1e-12 for mean in means]))
    assert sign_flip(np.zeros(6), 0) == 1.0


def test_few_prompts_give_students_interval():
    values = np.random.default_rng(3).normal(0.1, 0.05, (6, 3))
    comparison = compare_scores(values, 0)
    half = 2.5706 * values.mean(1).std(ddof=1) / np.sqrt(6)
    assert (comparison.unit, comparison.units) == (Unit.PROMPTS, 6)
    assert comparison.interval.high - comparison.interval.mean == pytest.approx(half, rel=1e-3)


def test_images_of_one_prompt_are_the_units_of_interval_test_and_detectable_difference():
    values = np.random.default_rng(3).normal(0.1, 0.05, (1, 8))
    found = compare_scores(values, 0)
    assert (found.unit, found.units) == (Unit.IMAGES, 8)
    assert found.interval == students_interval(values[0])
    assert found.p == sign_flip(values[0], 0)
    assert found.detectable == pytest.approx(2.8 * values.std(ddof=1) / np.sqrt(8))
    assert compare_scores(values[:, :1], 0) is None


def test_a_run_against_itself_is_equivalent_at_zero():
    same = {name: compare_scores(np.zeros((24, 2)), 0) for name in MARGINS}
    assert all(c.interval == Interval(0, 0, 0) and c.p == 1 for c in same.values())
    assert verdict_of(same, MARGINS, adjust(same, 1)) is Verdict.EQUIVALENT


@pytest.mark.parametrize(
    ("dino", "clip", "verdict"),
    [
        (of(0.05, 0.1), of(-0.004, 0.004, 0.9), Verdict.BETTER),
        (of(0.05, 0.1), of(-0.02, 0.01, 0.4), Verdict.INCONCLUSIVE),
        # the other fell for sure, but by less than matters
        (of(0.05, 0.1), of(-0.003, -0.001), Verdict.BETTER),
        (of(-0.1, -0.05), of(0.001, 0.003), Verdict.WORSE),
        # rose for sure, but by less than matters, and the other is open
        (of(0.001, 0.015), of(-0.03, 0.02, 0.7), Verdict.INCONCLUSIVE),
        (of(0.001, 0.015), of(-0.03, -0.01), Verdict.WORSE),
        (of(-0.015, -0.001), of(-0.02, 0.03, 0.7), Verdict.INCONCLUSIVE),
        (of(0.05, 0.1), of(-0.03, -0.01), Verdict.TRADE_OFF),
        (of(-0.1, -0.05), of(-0.004, 0.004, 0.9), Verdict.WORSE),
        (of(-0.01, 0.01, 0.8), of(-0.004, 0.004, 0.9), Verdict.EQUIVALENT),
        (of(0.001, 0.015, 0.04), of(-0.004, 0.004, 0.9), Verdict.EQUIVALENT),
        (of(-0.03, 0.05, 0.6), of(-0.004, 0.004, 0.9), Verdict.INCONCLUSIVE),
        # the interval leaves out zero, but not after Holm
        (of(0.001, 0.06, 0.04), of(-0.004, 0.004, 0.9), Verdict.INCONCLUSIVE),
    ],
)
def test_verdicts(dino, clip, verdict):
    assert verdict_of({"dino": dino, "clip_t": clip}, MARGINS, adjust({"dino": dino, "clip_t": clip}, 1)) is verdict


@pytest.mark.parametrize(
    ("dino", "clip", "blocked"),
    [
        (of(0.05, 0.1), of(-0.004, 0.004, 0.9), {}),
        # it may have lost up to 0.02, 0.005 would do: half the width of 0.015 has to shrink to 0.005 + 0.001
        (of(0.05, 0.1), of(-0.014, 0.016, 0.4), {"clip_t": 157}),
        # what was found is beyond the margin already
        (of(0.05, 0.1), of(-0.02, 0.008, 0.4), {"clip_t": None}),
        (of(-0.1, -0.05), of(-0.016, 0.014, 0.4), {"clip_t": 157}),
        # both open: one leaves out zero sooner, the other lies within its margin sooner
        (of(-0.01, 0.05, 0.2), of(-0.007, 0.007, 0.9), {"dino": 57, "clip_t": 49}),
        (of(-0.02, 0.02, 0.9), of(-0.004, 0.004, 0.9), {}),
    ],
)
def test_what_blocks_a_verdict_is_named_with_the_prompts_that_would_do(dino, clip, blocked):
    assert blocked_by({"dino": dino, "clip_t": clip}, MARGINS, adjust({"dino": dino, "clip_t": clip}, 1)) == blocked


def test_a_settled_loss_is_found_also_where_the_verdict_is_open():
    """dino -0.151 with p 0.0002 was called INCONCLUSIVE: cannot tell."""
    pair = {"dino": of(-0.2, -0.102, 0.0002), "clip_t": of(-0.01, 0.03, 0.3)}
    assert verdict_of(pair, MARGINS, adjust(pair, 1)) is Verdict.INCONCLUSIVE
    assert find(pair, MARGINS, adjust(pair, 1)) == {"dino": Finding.FELL, "clip_t": Finding.OPEN}


def students(values):
    p = 2 * stdtr(len(values) - 1, -abs(values.mean()) / standard_error(values))
    return Comparison(students_interval(values), float(p), 0.01, Unit.PROMPTS, len(values))


def test_ten_runs_that_differ_in_nothing_rarely_give_a_better_one():
    """Uncorrected, one of ten would seem better in every fifth series."""
    random, margins, repeats = np.random.default_rng(6), {"dino": 1e-9}, 600
    false = {1: 0, 10: 0}
    for _ in range(repeats):
        of_a = random.normal(size=25)
        series = [{"dino": students(random.normal(size=25) - 0.3 * of_a)} for _ in range(10)]
        for comparisons in false:
            false[comparisons] += any(
                verdict_of(run, margins, adjust(run, comparisons)) is Verdict.BETTER for run in series
            )
    assert false[1] / repeats > 0.1
    assert false[10] / repeats < 0.05


def test_every_p_is_taken_times_the_number_of_comparisons():
    pair = {"dino": of(0.05, 0.1, 0.004), "clip_t": of(-0.004, 0.004, 0.9)}
    assert [verdict_of(pair, MARGINS, adjust(pair, n)) for n in (1, 6, 7)] == [
        Verdict.BETTER,
        Verdict.BETTER,
        Verdict.INCONCLUSIVE,
    ]


def test_holm_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.6, "b": 0.9}) == {"a": 1.0, "b": 1.0}


@pytest.mark.usefixtures("few_draws")
def test_an_effect_of_the_detectable_size_is_found_in_about_four_of_five():
    random = np.random.default_rng(5)
    found = 0
    for repeat in range(200):
        comparison = compare_scores(simulate(random, 0.028), repeat)
        found += comparison.interval.low > 0
    assert 0.68 <= found / 200 <= 0.92


def test_training_seeds_are_the_unit():
    interval, p = compare_run_means([0.50, 0.52, 0.51], [0.60, 0.61, 0.63])
    assert interval.mean == pytest.approx(0.10333, abs=1e-4)
    assert interval.low > 0
    assert p < 0.01
    noisy, p = compare_run_means([0.3, 0.7], [0.4, 0.7])
    assert noisy.low < 0 < noisy.high
    assert p > 0.5


def test_runs_without_spread_are_certain():
    assert compare_run_means([0.5, 0.5], [0.5, 0.5]) == (Interval(0.0, 0.0, 0.0), 1.0)
    assert compare_run_means([0.5, 0.5], [0.75, 0.75]) == (Interval(0.25, 0.25, 0.25), 0.0)
