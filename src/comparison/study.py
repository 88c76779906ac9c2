"""Several settings, each trained with several seeds: means, all pairs, the front, and what a smaller study would say.

A run's mean over its test prompts is one observation. Symbols: M settings, S seeds of each, P prompts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from src.comparison.runs import EvaluatedRun
from src.comparison.statistics import Finding, Key, Verdict, find, holm, verdict_of
from src.comparison.verdict import Report, compare_configurations, decisive, run_means, scored_rows
from src.core.errors import MetricError
from src.core.seeding import derive_seed
from src.metrics.intervals import Interval, students_interval
from src.metrics.names import BASE, SUBJECT
from src.metrics.summary import reported_means

# the size of the studies that name a winner by few images and one training seed
FEW_IMAGES = 12
# such studies that are tried
STUDIES = 2000


@dataclass(frozen=True)
class Contestant:
    """One setting with its runs.

    Attributes:
        name: What tables call it.
        runs: Two or more, each with another training seed.
    """

    name: str
    runs: tuple[EvaluatedRun, ...]


@dataclass(frozen=True)
class Pair:
    """B against A, with p-values that count all pairs and primary metrics of the study (Holm).

    Attributes:
        a: The one setting's name.
        b: The other's.
        report: The comparison, its p-values as they are.
        adjusted: The p-value of each primary metric, adjusted.
    """

    a: str
    b: str
    report: Report
    adjusted: Mapping[str, float]

    @property
    def verdict(self) -> Verdict:
        """What the primary metrics say together about B."""
        return verdict_of(self.report.primary, self.report.margins, self.adjusted)

    @property
    def findings(self) -> Mapping[str, Finding]:
        """What each says."""
        return find(self.report.primary, self.report.margins, self.adjusted)


def settings_means(contestant: Contestant) -> dict[str, Interval]:
    """Returns a setting's means over its runs.

    Args:
        contestant: The setting.

    Returns:
        By metric, with Student's interval over the runs.
    """
    means = [run_means(run) for run in contestant.runs]
    shared = set.intersection(*(set(of_run) for of_run in means))
    return {name: students_interval(np.array([of_run[name] for of_run in means])) for name in sorted(shared)}


def base_means(contestants: Sequence[Contestant]) -> dict[str, float]:
    """Returns the base model's means: of the first run, as all have the same base."""
    return reported_means(contestants[0].runs[0].scores, BASE)


def compare_pairs(contestants: Sequence[Contestant]) -> list[Pair]:
    """Compares every setting with every other one.

    Paper: A Simple Sequentially Rejective Multiple Test Procedure (Holm, 1979), over all pairs and primary metrics.

    Args:
        contestants: Two or more.

    Returns:
        In order, the later named as B.

    Raises:
        MetricError: There are fewer, or two may not be compared.
    """
    if len(contestants) < 2:
        raise MetricError(f"expected two settings or more with two seeds each, found {len(contestants)}")
    reports = {
        (a.name, b.name): compare_configurations([decisive(run) for run in a.runs], [decisive(run) for run in b.runs])
        for a, b in combinations(contestants, 2)
    }
    p_values = {
        (*names, metric): report.metrics[metric].p for names, report in reports.items() for metric in report.primaries
    }
    adjusted = holm(p_values)
    return [
        Pair(*names, report, {metric: adjusted[(*names, metric)] for metric in report.primaries})
        for names, report in reports.items()
    ]


def front(points: Mapping[Key, tuple[float, float]]) -> list[Key]:
    """Returns those that none exceeds in one number without falling behind in the other; equal ones all stay.

    Args:
        points: Two numbers of each, the more the better.

    Returns:
        The Pareto front, by the falling first number.
    """
    kept = [
        key
        for key, (first, second) in points.items()
        if not any(a >= first and b >= second and (a, b) != (first, second) for a, b in points.values())
    ]
    return sorted(kept, key=lambda key: -points[key][0])


@dataclass(frozen=True)
class SmallStudies:
    """What studies of FEW_IMAGES images and one training seed of each setting would have concluded.

    Attributes:
        best: The setting with the highest mean SUBJECT over all runs.
        other: The share of such studies that name another one.
        winners: The share that each setting wins, by falling share.
        gap: By how much likeness of the same setting differs between two of them, 95 % quantile.
    """

    best: str
    other: float
    winners: Mapping[str, float]
    gap: float


def small_studies(contestants: Sequence[Contestant], seed: int) -> SmallStudies:
    """Repeats the study in small, by drawing from its own runs and images.

    Each takes one run of each setting and the same FEW_IMAGES test images of all, without replacement, and names the
    setting with the highest mean of SUBJECT.

    Args:
        contestants: With the same prompts.
        seed: Of the draws.

    Returns:
        What they say.

    Raises:
        MetricError: There are fewer test images than that.
    """
    tables = [_test_images(one) for one in contestants]
    places = set.intersection(*(set(table.index) for table in tables))
    values = [table.loc[sorted(places)].to_numpy().T for table in tables]
    if len(places) < FEW_IMAGES:
        raise MetricError(f"expected {FEW_IMAGES} test images or more, found {len(places)}")
    random = np.random.default_rng(derive_seed(seed, "small studies"))
    of_all = [float(table.mean()) for table in values]
    best = int(np.argmax(of_all))
    wins = np.zeros(len(values), dtype=np.int64)
    gaps = []
    for _ in range(STUDIES):
        chosen = random.choice(len(places), FEW_IMAGES, replace=False)
        means = [float(table[random.integers(len(table)), chosen].mean()) for table in values]
        wins[int(np.argmax(means))] += 1
        again = random.choice(len(places), FEW_IMAGES, replace=False)
        table = values[best]
        gaps.append(abs(means[best] - float(table[random.integers(len(table)), again].mean())))
    shares = {one.name: float(count) / STUDIES for one, count in zip(contestants, wins, strict=True)}
    ordered = dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))
    name = contestants[best].name
    return SmallStudies(name, 1 - shares[name], ordered, float(np.quantile(gaps, 0.95)))


def _test_images(contestant: Contestant) -> pd.DataFrame:
    """Returns SUBJECT of each test image, (P x K, S): a column for each run."""
    columns = [scored_rows(run).xs(SUBJECT, level="metric") for run in contestant.runs]
    return pd.concat(columns, axis=1, keys=range(len(columns))).dropna()
