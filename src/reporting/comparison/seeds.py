"""Runs of one setting that differ in the seed of the training alone, as Markdown: table, mean, spread, verdicts."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from src.comparison.runs import EvaluatedRun
from src.comparison.settings import Differs
from src.comparison.statistics import Verdict
from src.comparison.verdict import compare_configurations, compare_runs, decisive, run_means
from src.metrics.names import BASE
from src.metrics.quantities import Quantities
from src.metrics.summary import reported_means

FIRM = (Verdict.BETTER, Verdict.WORSE, Verdict.TRADE_OFF)
# of the resampling
SEED = 0
# with fewer runs a half has a single one
ENOUGH_TO_SPLIT = 4


def describe_seeds(name: str, runs: Sequence[EvaluatedRun]) -> str:
    """Returns the runs of one setting and how far the seed alone moves them.

    Args:
        name: Of the setting.
        runs: Two or more, each with another seed.

    Returns:
        A table with a row for each run, base, the means and the standard deviations, and what the comparisons of these
        runs with one another say: of checkpoints in pairs, and of settings half against half.

    Raises:
        MetricError: They may not be compared.
    """
    means = [run_means(run) for run in runs]
    quantities = Quantities.of(*(run.meta for run in runs))
    columns = quantities.order(set.intersection(*(set(of_run) for of_run in means)))
    rows = [
        [str(run.params["seed"]), str(run.meta["selected"]), *(f"{of_run[column]:z.3f}" for column in columns)]
        for run, of_run in zip(runs, means, strict=True)
    ]
    table = np.array([[of_run[column] for column in columns] for of_run in means])
    base = reported_means(runs[0].scores, BASE)
    rows.append([BASE, "", *(f"{base[column]:z.3f}" if column in base else "–" for column in columns)])
    rows.append(["mean", "", *(f"{value:z.3f}" for value in table.mean(0))])
    rows.append(["standard deviation", "", *(f"{value:z.4f}" for value in table.std(0, ddof=1))])
    heads = ["seed", "checkpoint", *(f"{column} {quantities.arrow(column)}".strip() for column in columns)]
    lines = [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]
    return "\n".join([f"{name}: {len(runs)} seeds of the training", "", *lines, "", _pairs(runs), _halves(runs), ""])


def _pairs(runs: Sequence[EvaluatedRun]) -> str:
    """Counts the verdicts of the pairs, and how many of them are told as statements about settings."""
    reports = [compare_runs(a, b, SEED) for a, b in combinations([decisive(run) for run in runs], 2)]
    counts = Counter(report.verdict.value for report in reports)
    told = ", ".join(f"{counts[verdict.value]} {verdict.value}" for verdict in Verdict if counts[verdict.value])
    about = sum(report.differs is Differs.SETTINGS for report in reports)
    return (
        f"Of {len(reports)} pairs of these runs, as checkpoints: {told}. "
        f"Told as statements about settings: {about}; the others are named same settings, other seed."
    )


def _halves(runs: Sequence[EvaluatedRun]) -> str:
    """Counts how often one half of the runs is called better or worse than the other, as a setting."""
    if len(runs) < ENOUGH_TO_SPLIT:
        return ""
    lean, every = [decisive(run) for run in runs], range(len(runs))
    splits = list(combinations(every, len(runs) // 2))
    firm = 0
    for chosen in splits:
        sides = [[lean[n] for n in every if (n in chosen) is side] for side in (True, False)]
        firm += compare_configurations(*sides).verdict in FIRM
    return (
        f"Of {len(splits)} ways to compare {len(runs) // 2} of them with the others as two settings, {firm} "
        f"({firm / len(splits):.1%}) give BETTER, WORSE or TRADE-OFF; chance alone may give 5 %."
    )
