"""Means of metrics; the page prints what evaluate computed and adds nothing of its own."""

from collections import Counter

import pandas as pd

from src.core.sets import DEV, TEST
from src.metrics.intervals import reported_rows
from src.reporting.inputs import Inputs

# columns against which an image's own likeness counts; "train" is the memorisation side
COUNTED = ("val", "none")


def checkpoint_means(inputs: Inputs, prompt_set: str) -> dict[str, dict[str, float]]:
    """Returns the means on a set of prompts: of base first, then of each checkpoint; of some without scores nothing."""
    variants = ("base", *sorted(inputs.metrics["checkpoints"]))
    return {variant: prompt_means(inputs.scores, variant, prompt_set) for variant in variants}


def shared_set(inputs: Inputs) -> str:
    """Returns the set of prompts that all checkpoints have scores of: ``dev``, or ``test`` where there are none."""
    return DEV if DEV in set(inputs.scores["set"]) else TEST


def prompt_means(scores: pd.DataFrame, variant: str, prompt_set: str) -> dict[str, float]:
    """Averages a variant's scores, each prompt counting once.

    Args:
        scores: scores.csv.
        variant: For example ``base``.
        prompt_set: ``dev`` or ``test``.

    Returns:
        The mean by metric, rounded like details.json.
    """
    rows = _counted(scores, variant, prompt_set)
    by_prompt = rows.groupby(["metric", "prompt_id"], sort=True)["value"].mean()
    return {str(metric): round(float(value), 6) for metric, value in by_prompt.groupby(level=0).mean().items()}


def group_means(scores: pd.DataFrame, variant: str) -> pd.DataFrame:
    """Averages a variant's test scores per prompt group, each prompt counting once.

    Args:
        scores: scores.csv.
        variant: For example ``base``.

    Returns:
        Columns metric, group, value, and prompts: how many there are with a value.
    """
    rows = _counted(scores, variant, TEST)
    by_prompt = rows.groupby(["metric", "group", "prompt_id"], sort=True)["value"].mean()
    groups = by_prompt.groupby(level=[0, 1])
    return groups.mean().round(6).reset_index().assign(prompts=groups.size().to_numpy())


def image_scores(scores: pd.DataFrame) -> dict[tuple[str, str, str], dict[str, float]]:
    """Returns the counted scores of each image by (variant, prompt_id, seed), then by metric."""
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    compared = scores[scores["references"].isin(COUNTED) & scores["value"].notna()]
    columns = compared[["variant", "prompt_id", "seed", "metric", "value"]]
    for variant, prompt_id, seed, metric, value in columns.itertuples(index=False, name=None):
        found.setdefault((variant, prompt_id, seed), {})[metric] = value
    return found


def unscored(scores: pd.DataFrame) -> list[str]:
    """Counts the rows without a value, by metric and reason, one line each; a metric is missed where it is reported."""
    shown = reported_rows(scores)
    elsewhere = set(shown["metric"]) - set(shown.loc[shown["set"] == TEST, "metric"])
    rows = scores[scores["value"].isna() & ~(scores["metric"].isin(elsewhere) & scores["set"].isin([DEV, TEST]))]
    counts = Counter(rows[["metric", "reason"]].itertuples(index=False, name=None))
    return [f"{count} × {metric}: {reason}" for (metric, reason), count in sorted(counts.items())]


def _counted(scores: pd.DataFrame, variant: str, prompt_set: str) -> pd.DataFrame:
    chosen = (scores["variant"] == variant) & (scores["set"] == prompt_set) & scores["references"].isin(COUNTED)
    return scores[chosen & scores["value"].notna()]
