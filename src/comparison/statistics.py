"""Which of two runs is better, and how sure that is.

Symbols: P prompts, K seeds of each; d[p, k] = score of B - score of A for the same prompt and seed.
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from src.core.seeding import derive_seed
from src.metrics.intervals import DRAWS, LEVEL, Interval, Unit, estimate, independent_units, standard_error

Key = TypeVar("Key", bound=Hashable)
# of the normal: 97.5 % and 80 % quantiles
DETECTABLE = 2.8


class Finding(Enum):
    """What one primary metric says about B against A."""

    ROSE = "rose"
    FELL = "fell"
    SAME = "same"
    OPEN = "open"


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
        p: Two-sided: of the sign-flip test, or of Welch's where the units are runs.
        detectable: The smallest difference that such data would show in four of five repeats.
        unit: What counts as one observation.
        units: How many of them there are.
    """

    interval: Interval
    p: float
    detectable: float
    unit: Unit
    units: int


def compare_scores(differences: NDArray[np.float64], seed: int) -> Comparison | None:
    """Compares two runs in one metric.

    Args:
        differences: d, (P, K), finite.
        seed: Of the resampling.

    Returns:
        The comparison; interval, test and detectable difference have the same units. None where there is no interval.
    """
    interval = estimate(differences, seed)
    if interval is None:
        return None
    unit, of_units = independent_units(differences)
    detectable = DETECTABLE * standard_error(of_units)
    return Comparison(interval, sign_flip(of_units, seed), detectable, unit, len(of_units))


def sign_flip(of_units: NDArray[np.float64], seed: int) -> float:
    """Tests whether differences are symmetric around zero: exactly for up to 13 units, else by DRAWS random flips.

    Paper: The Design of Experiments (Fisher, 1935), section 21.

    Args:
        of_units: Difference of each independent unit, (N,), N >= 2.
        seed: Of the flips.

    Returns:
        The two-sided p-value, in (0, 1].
    """
    if not of_units.any():
        return 1.0
    test = stats.permutation_test(
        (of_units,),
        lambda values, axis: values.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=DRAWS,
        rng=np.random.default_rng(derive_seed(seed, "sign flip")),
    )
    return float(test.pvalue)


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Adjusts p-values of several comparisons, so that the chance of any false one stays at the level.

    Paper: A Simple Sequentially Rejective Multiple Test Procedure (Holm, 1979).

    Args:
        p_values: By what is compared.

    Returns:
        Adjusted p-values, at most 1.
    """
    adjusted: dict[Key, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = largest
    return adjusted


def adjust(primaries: Mapping[str, Comparison], comparisons: int) -> dict[str, float]:
    """Adjusts the p-values of one comparison among several with the same A: Bonferroni, then Holm over the metrics.

    Args:
        primaries: At least one.
        comparisons: How many runs are compared with A at the same time, B among them.

    Returns:
        Adjusted p-values by metric.
    """
    return holm({name: min(1.0, comparisons * found.p) for name, found in primaries.items()})


def find(
    primaries: Mapping[str, Comparison], margins: Mapping[str, float], adjusted: Mapping[str, float]
) -> dict[str, Finding]:
    """Tells what each primary metric says; all of them are better when higher.

    A metric rose when its interval lies above zero and reaches beyond its margin, and its adjusted p is below
    1 - LEVEL; it fell when the same holds below. It is the same when its interval lies within its margin, else open.

    Args:
        primaries: At least one.
        margins: The difference of each metric that does not matter, > 0.
        adjusted: The p-value of each for so many comparisons, for example from `adjust`.

    Returns:
        By metric.
    """
    findings = {}
    for name, found in primaries.items():
        low, high, margin, sure = found.interval.low, found.interval.high, margins[name], adjusted[name] < 1 - LEVEL
        if -margin <= low and high <= margin:
            findings[name] = Finding.SAME
        elif sure and low > 0:
            findings[name] = Finding.ROSE
        elif sure and high < 0:
            findings[name] = Finding.FELL
        else:
            findings[name] = Finding.OPEN
    return findings


def verdict_of(
    primaries: Mapping[str, Comparison], margins: Mapping[str, float], adjusted: Mapping[str, float]
) -> Verdict:
    """Draws the conclusion from what `find` says of each primary metric.

    The first that applies: EQUIVALENT, all are the same; BETTER, one rose, and no interval reaches below minus its
    margin; WORSE, the same with A and B exchanged; TRADE-OFF, one rose and one fell.

    Args:
        primaries: At least one.
        margins: The difference of each metric that does not matter, > 0.
        adjusted: As in `find`.

    Returns:
        The verdict about B; INCONCLUSIVE where none of the above applies.
    """
    findings = set(find(primaries, margins, adjusted).values())
    if findings == {Finding.SAME}:
        return Verdict.EQUIVALENT
    if Finding.ROSE in findings and all(found.interval.low >= -margins[name] for name, found in primaries.items()):
        return Verdict.BETTER
    if Finding.FELL in findings and all(found.interval.high <= margins[name] for name, found in primaries.items()):
        return Verdict.WORSE
    return Verdict.TRADE_OFF if {Finding.ROSE, Finding.FELL} <= findings else Verdict.INCONCLUSIVE


def blocked_by(
    primaries: Mapping[str, Comparison], margins: Mapping[str, float], adjusted: Mapping[str, float]
) -> dict[str, int | None]:
    """Names what keeps a comparison from a verdict, and how much more data would do if the differences stay the same.

    Where a metric rose, the others block that may have fallen by more than their margin; where one fell, those that may
    have risen; where all are open, each of them blocks until it is settled in the nearest way.

    Args:
        primaries: At least one.
        margins: The difference of each metric that does not matter, > 0.
        adjusted: As in `find`.

    Returns:
        Units by metric: intervals shrink by the square root of their number. None where no number would do, because
        the mean itself lies beyond the margin. Nothing where there is a verdict.
    """
    if verdict_of(primaries, margins, adjusted) is not Verdict.INCONCLUSIVE:
        return {}
    findings = find(primaries, margins, adjusted)
    blocked: dict[str, int | None] = {}
    for name, found in primaries.items():
        mean, margin = found.interval.mean, margins[name]
        below, above = mean - found.interval.low, found.interval.high - mean
        if findings[name] is not Finding.OPEN:
            continue
        if Finding.ROSE in findings.values():
            width, room = below, margin + mean
        elif Finding.FELL in findings.values():
            width, room = above, margin - mean
        else:
            width, room = max(below, above), max(abs(mean), margin - abs(mean))
        if width > room:
            blocked[name] = math.ceil(found.units * (width / room) ** 2) if room > 0 else None
    return blocked


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
