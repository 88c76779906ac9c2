"""How sure a difference between two variants is: a bootstrap over prompts, then over seeds within each prompt.

Images of one prompt are not independent, so resampling single images would give intervals that are far too narrow.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from src.core.seeding import derive_seed
from src.metrics.names import BASE, PRIOR, TEST

DRAWS = 10_000
LEVEL = 0.95
# draws of the bootstrap at a time: memory
CHUNK = 1_000


@dataclass(frozen=True)
class Interval:
    """A mean with its percentile interval."""

    mean: float
    low: float
    high: float


def nested_bootstrap(differences: NDArray[np.float64], seed: int) -> Interval:
    """Estimates a mean over prompts, each of which was drawn with several seeds.

    Paper: Bootstrap Methods and their Application (Davison & Hinkley, 1997), section 3.8: resample clusters, then
    members.

    Args:
        differences: (P, K): P prompts, K seeds of each; finite.
        seed: Of the resampling.

    Returns:
        The mean over prompts and its LEVEL interval.
    """
    prompts, seeds = differences.shape
    random = np.random.default_rng(derive_seed(seed, "bootstrap"))
    means = []
    for _ in range(0, DRAWS, CHUNK):
        chosen = random.integers(prompts, size=(CHUNK, prompts, 1))
        within = random.integers(seeds, size=(CHUNK, prompts, seeds))
        means.append(differences[chosen, within].mean((1, 2)))
    low, high = np.quantile(np.concatenate(means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(differences.mean()), float(low), float(high))


def mean_interval(table: pd.DataFrame, variant: str, metric: str, seed: int = 0) -> Interval:
    """Estimates a variant's mean on the test prompts, against held-out photos.

    Args:
        table: Scores, one row per image, metric and references.
        variant: For example a checkpoint; it has a value of the metric.
        metric: For example ``clip_t``.
        seed: Of the resampling.

    Returns:
        The mean with its interval; a prompt of which an image has no value is left out.
    """
    rows = table[(table["variant"] == variant) & (table["set"] == TEST) & (table["metric"] == metric)]
    rows = rows[rows["references"] != "train"]
    grid = rows.pivot(index="prompt_id", columns="seed", values="value").dropna()
    return nested_bootstrap(grid.to_numpy(dtype=np.float64), seed)


def against_base(table: pd.DataFrame, variant: str, seed: int = 0) -> dict[str, Interval]:
    """Compares a variant with base on the test prompts and on the class alone, image by image: same prompt and seed.

    Args:
        table: Scores, one row per image, metric and references.
        variant: The checkpoint.
        seed: Of the resampling.

    Returns:
        The difference variant - base of each metric that both have, against held-out photos. A metric with one value
        per prompt (diversity) has no seeds to resample. A prompt of which an image has no value is left out.
    """
    rows = table[table["set"].isin([TEST, PRIOR]) & (table["references"] != "train")].dropna(subset="value")
    values = rows.pivot_table(index=["metric", "prompt_id", "seed"], columns="variant", values="value", dropna=False)
    if not {variant, BASE} <= set(values.columns):
        return {}
    paired = (values[variant] - values[BASE]).dropna()
    result = {}
    for metric, of_metric in paired.groupby("metric"):
        grid = of_metric.unstack("seed").dropna()
        if len(grid):
            result[str(metric)] = nested_bootstrap(grid.to_numpy(dtype=np.float64), seed)
    return result
