"""Which of two runs is better, and how sure that is.

Symbols: P prompts, K seeds of each; d[p, k] = score of B - score of A for the same prompt and seed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from src.core.seeding import derive_seed
from src.metrics.intervals import DRAWS, LEVEL, Interval, nested_bootstrap

# with fewer prompts a percentile interval is too narrow
FEW_PROMPTS = 10
# of the normal: 97.5 % and 80 % quantiles
DETECTABLE = 2.8


class Verdict(Enum):
    """What the primary metrics say together about B against A."""

    BETTER = "BETTER"
    WORSE = "WORSE"
    TRADE_OFF = "TRADE-OFF"
    EQUIVALENT = "EQUIVALENT"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True)
class Comparison:
    """One metric of B against A.

    Attributes:
        interval: Of the mean difference; positive means B has more.
        p: Of the sign-flip test, two-sided.
        detectable: The smallest difference that such data would show in four of five repeats.
        prompts: P.
        few_prompts: Whether the interval is Student's, because P < FEW_PROMPTS.
    """

    interval: Interval
    p: float
    detectable: float
    prompts: int
    few_prompts: bool


def compare_scores(differences: NDArray[np.float64], seed: int) -> Comparison:
    """Compares two runs in one metric.

    Args:
        differences: d, (P, K), finite; P >= 2.
        seed: Of the resampling.

    Returns:
        The comparison.
    """
    of_prompts = differences.mean(1)
    few = len(of_prompts) < FEW_PROMPTS
    if few:
        between = stats.ttest_1samp(of_prompts, 0.0).confidence_interval(LEVEL)
        flat = not of_prompts.std()
        mean = float(of_prompts.mean())
        interval = Interval(mean, mean, mean) if flat else Interval(mean, float(between.low), float(between.high))
    else:
        interval = nested_bootstrap(differences, seed)
    spread = float(of_prompts.std(ddof=1)) / math.sqrt(len(of_prompts))
    return Comparison(interval, sign_flip(of_prompts, seed), DETECTABLE * spread, len(of_prompts), few)


def sign_flip(of_prompts: NDArray[np.float64], seed: int) -> float:
    """Tests whether differences are symmetric around zero: exactly for up to 13 prompts, else by DRAWS random flips.

    Paper: The Design of Experiments (Fisher, 1935), section 21.

    Args:
        of_prompts: Mean difference of each prompt, (P,), P >= 2.
        seed: Of the flips.

    Returns:
        The two-sided p-value, in (0, 1].
    """
    if not of_prompts.any():
        return 1.0
    test = stats.permutation_test(
        (of_prompts,),
        lambda values, axis: values.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=DRAWS,
        rng=np.random.default_rng(derive_seed(seed, "sign flip")),
    )
    return float(test.pvalue)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusts p-values of several primary metrics, so that the chance of any false one stays at the level.

    Paper: A Simple Sequentially Rejective Multiple Test Procedure (Holm, 1979).

    Args:
        p_values: By metric.

    Returns:
        Adjusted p-values, at most 1.
    """
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = largest
    return adjusted


def judge(primaries: Mapping[str, Comparison], margins: Mapping[str, float]) -> Verdict:
    """Draws the conclusion from the primary metrics, all of which are better when higher.

    BETTER: a metric rose (its interval leaves out zero and its Holm-adjusted p is below 1 - LEVEL), and no other's
    interval reaches below minus its margin. WORSE is the same with A and B exchanged. TRADE-OFF: one rose, one fell.
    EQUIVALENT: all intervals lie within their margins. INCONCLUSIVE: anything else.

    Args:
        primaries: At least one.
        margins: The difference of each metric that does not matter, > 0.

    Returns:
        The verdict about B.
    """
    adjusted = holm({name: comparison.p for name, comparison in primaries.items()})
    sure = {name for name in primaries if adjusted[name] < 1 - LEVEL}
    rose = {name for name in sure if primaries[name].interval.low > 0}
    fell = {name for name in sure if primaries[name].interval.high < 0}
    inside = [
        -margins[name] <= comparison.interval.low and comparison.interval.high <= margins[name]
        for name, comparison in primaries.items()
    ]
    if all(inside):
        return Verdict.EQUIVALENT
    if rose and fell:
        return Verdict.TRADE_OFF
    if rose and all(primaries[name].interval.low >= -margins[name] for name in primaries.keys() - rose):
        return Verdict.BETTER
    if fell and all(primaries[name].interval.high <= margins[name] for name in primaries.keys() - fell):
        return Verdict.WORSE
    return Verdict.INCONCLUSIVE


def compare_run_means(means_a: list[float], means_b: list[float]) -> tuple[Interval, float]:
    """Compares two configurations, each trained with several seeds: a run's mean is one observation (Welch's t).

    Args:
        means_a: A mean for each training seed; 2 or more, better 5.
        means_b: Likewise.

    Returns:
        The difference of B to A with its LEVEL interval, and the two-sided p-value; runs that all agree are certain.
    """
    if not (np.ptp(means_a) or np.ptp(means_b)):
        certain = means_b[0] - means_a[0]
        return Interval(certain, certain, certain), 0.0 if certain else 1.0
    test = stats.ttest_ind(means_b, means_a, equal_var=False)
    between = test.confidence_interval(LEVEL)
    difference = float(np.mean(means_b) - np.mean(means_a))
    return Interval(difference, float(between.low), float(between.high)), float(test.pvalue)
