"""Which of several runs to keep: the first, unless another is shown to be better than it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from src.metrics.comparison import Report
from src.metrics.names import BASE, DEV, PROMPT, SUBJECT
from src.metrics.runs import EvaluatedRun, setting
from src.metrics.statistics import Verdict
from src.metrics.summary import apply_rule, mean_scores, rounded


class Why(Enum):
    """Why a run is kept."""

    NONE_BETTER = "none_better"
    BETTER = "better"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Choice:
    """The run to keep.

    Attributes:
        run: The run.
        why: UNDECIDED: the first named of several better ones, which dev prompts cannot tell apart.
    """

    run: EvaluatedRun
    why: Why


def choose_run(first: EvaluatedRun, others: Sequence[tuple[EvaluatedRun, Report]]) -> Choice:
    """Chooses the run to keep.

    Among several that are better than the first the rule for checkpoints decides on the dev prompts, each run against
    its own base: on the test prompts the choice would inflate the figures that are reported.

    Args:
        first: What the others are compared with; its evaluate.select_clip_t_margin counts.
        others: The runs that may be compared with it, each with its report.

    Returns:
        The choice.

    Raises:
        MetricError: The first has no such margin.
    """
    better = {run.name: run for run, report in others if report.verdict is Verdict.BETTER}
    if not better:
        return Choice(first, Why.NONE_BETTER)
    if len(better) == 1:
        return Choice(next(iter(better.values())), Why.BETTER)
    means = {name: mean_scores(run.scores, run.meta["selected"], DEV) for name, run in better.items()}
    shared = set.intersection(*(set(found) for found in means.values()))
    if {SUBJECT, PROMPT} <= shared:
        margin = float(setting(first, "evaluate", "select_clip_t_margin"))
        bases = {name: mean_scores(run.scores, BASE, DEV)[PROMPT] for name, run in better.items()}
        best, _ = apply_rule(means, {name: rounded(base - margin) for name, base in bases.items()})
        return Choice(better[best], Why.BETTER)
    for metric in (SUBJECT, PROMPT):
        if metric in shared:
            return Choice(better[max(means, key=lambda name: means[name][metric])], Why.BETTER)
    return Choice(next(iter(better.values())), Why.UNDECIDED)
