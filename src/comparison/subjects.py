"""Means over subjects: one subject is one observation (DreamBooth, Ruiz et al., 2022, arXiv:2208.12242, 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from src.comparison.runs import EvaluatedRun
from src.comparison.statistics import sign_flip
from src.comparison.verdict import run_means
from src.metrics.intervals import Interval, students_interval
from src.metrics.names import BASE
from src.metrics.summary import reported_means

# of the resampling
SEED = 0


@dataclass(frozen=True)
class SubjectResult:
    """What one subject came to.

    Attributes:
        name: Its folder's.
        kind: The class noun.
        means: Of the chosen checkpoint on the test prompts, by metric; empty where it failed.
        base: The base model's.
        reason: Why there are none; empty where there are.
    """

    name: str
    kind: str
    means: Mapping[str, float]
    base: Mapping[str, float]
    reason: str = ""


@dataclass(frozen=True)
class Paired:
    """One metric of a setting against another one, over the subjects that both have.

    Attributes:
        subjects: How many.
        interval: Of the mean difference; positive means more than before.
        p: Two-sided, of the sign-flip test over subjects.
    """

    subjects: int
    interval: Interval
    p: float


def subject_result(name: str, run: EvaluatedRun) -> SubjectResult:
    """Reads what a subject came to.

    Args:
        name: Its folder's.
        run: What evaluate wrote.

    Returns:
        Its means, each prompt once.

    Raises:
        MetricError: It has no scores on test prompts.
    """
    noun = str(run.params["subject"]["class_name"])
    return SubjectResult(name, noun, run_means(run), reported_means(run.scores, BASE))


def over_subjects(values: Sequence[Mapping[str, float]]) -> dict[str, Interval]:
    """Estimates the mean over subjects of each metric.

    Args:
        values: Of each subject, by metric.

    Returns:
        Student's interval over the subjects, of the metrics that two or more have.
    """
    names = dict.fromkeys(name for of_one in values for name in of_one)
    columns = {name: np.array([of_one[name] for of_one in values if name in of_one]) for name in names}
    return {name: students_interval(column) for name, column in columns.items() if len(column) > 1}


def paired(before: Mapping[str, Mapping[str, float]], after: Mapping[str, Mapping[str, float]]) -> dict[str, Paired]:
    """Compares two settings subject by subject.

    Args:
        before: Means by subject and metric.
        after: Likewise.

    Returns:
        By metric that two or more subjects have in both.
    """
    both = sorted(before.keys() & after.keys())
    metrics = dict.fromkeys(metric for name in both for metric in after[name])
    found = {}
    for metric in metrics:
        pairs = [(before[name], after[name]) for name in both]
        steps = np.array([new[metric] - old[metric] for old, new in pairs if metric in old and metric in new])
        if len(steps) > 1:
            found[metric] = Paired(len(steps), students_interval(steps), sign_flip(steps, SEED))
    return found
