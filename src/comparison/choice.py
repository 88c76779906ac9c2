"""Which of several runs to keep: the first, unless another is shown to be better than it, or the metrics disagree."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from src.comparison.runs import EvaluatedRun, setting
from src.comparison.selection import SelectionRule
from src.comparison.statistics import Finding, Verdict
from src.comparison.verdict import Report
from src.core.sets import DEV
from src.metrics.names import BASE, PROMPT, SUBJECT
from src.metrics.summary import mean_scores, rounded


class Why(Enum):
    """Why a run is kept, or why none is."""

    NONE_BETTER = "none_better"
    BETTER = "better"
    UNDECIDED = "undecided"
    OPEN = "open"


@dataclass(frozen=True)
class Choice:
    """The run to keep.

    Attributes:
        run: The run; None where it depends on what matters more.
        why: UNDECIDED: the first named of several better ones, which dev prompts cannot tell apart. OPEN: none is
            better, but some are ahead of the first for sure in one metric, with a loss or an open one beside it.
        ahead: Those with their metrics, also beside a better one that they exceed in likeness.
    """

    run: EvaluatedRun | None
    why: Why
    ahead: tuple[tuple[EvaluatedRun, tuple[str, ...]], ...] = ()


def choose_run(first: EvaluatedRun, others: Sequence[tuple[EvaluatedRun, Report]]) -> Choice:
    """Chooses the run to keep.

    Among several that are better than the first the rule for checkpoints decides on the dev prompts, each run against
    its own base: on the test prompts the choice would inflate the figures that are reported. A run that is ahead of
    the first in one metric for sure is never passed over in silence.

    Args:
        first: What the others are compared with; its evaluate.select_clip_t_margin counts.
        others: The runs that may be compared with it, each with its report.

    Returns:
        The choice.

    Raises:
        ConfigError: The first has no margins of the primary metrics.
        MetricError: The first has no such margin.
    """
    better = {run.name: (run, report) for run, report in others if report.verdict is Verdict.BETTER}
    rest = [(run, report) for run, report in others if run.name not in better]
    if not better:
        ahead = tuple((run, risen) for run, report in rest if (risen := _risen(report)))
        return Choice(None, Why.OPEN, ahead) if ahead else Choice(first, Why.NONE_BETTER)
    name, why = _best_of(first, {name: run for name, (run, _) in better.items()})
    kept, report = better[name]
    bar = report.metrics[SUBJECT].interval.high if SUBJECT in report.metrics else float("inf")
    passed = tuple((run, (SUBJECT,)) for run, of in rest if SUBJECT in _risen(of) and _gain(of) > bar)
    return Choice(kept, why, passed)


def _risen(report: Report) -> tuple[str, ...]:
    return tuple(name for name, finding in report.findings.items() if finding is Finding.ROSE)


def _gain(report: Report) -> float:
    return report.metrics[SUBJECT].interval.mean


def _best_of(first: EvaluatedRun, better: dict[str, EvaluatedRun]) -> tuple[str, Why]:
    """Chooses among better runs, on the dev prompts."""
    if len(better) == 1:
        return next(iter(better)), Why.BETTER
    means = {name: mean_scores(run.scores, run.meta["selected"], DEV) for name, run in better.items()}
    shared = set.intersection(*(set(found) for found in means.values()))
    if {SUBJECT, PROMPT} <= shared:
        setting(first, "evaluate", "select_clip_t_margin")
        evaluate = first.params["evaluate"]
        rule = SelectionRule.of(evaluate["select_clip_t_margin"], evaluate["margins"])
        bases = {name: mean_scores(run.scores, BASE, DEV)[PROMPT] for name, run in better.items()}
        floors = {name: rounded(base - rule.clip_t_margin) for name, base in bases.items()}
        return rule.choose(means, floors)[0], Why.BETTER
    for metric in (SUBJECT, PROMPT):
        if metric in shared:
            return max(means, key=lambda name: means[name][metric]), Why.BETTER
    return next(iter(better)), Why.UNDECIDED
