"""How sure a mean is: a bootstrap over prompts, then over seeds within each prompt; Student's t where few are there.

Images of one prompt are not independent, so resampling single images would give intervals that are far too narrow.
Symbols: P prompts, K seeds of each.
"""

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from src.core.seeding import derive_seed
from src.core.sets import TEST
from src.metrics.names import BASE, DIVERSITY, REPORTED_SETS

DRAWS = 10_000
LEVEL = 0.95
# with fewer prompts a bootstrap knows too little of their distribution
FEW_PROMPTS = 10
# draws of the bootstrap at a time: memory
CHUNK = 1_000
# a standard error below this share of the sample's own is rounding
NO_SPREAD = 1e-9


class Unit(Enum):
    """What counts as one independent observation."""

    PROMPTS = "prompts"
    IMAGES = "images"
    RUNS = "runs"


@dataclass(frozen=True)
class Interval:
    """A mean with its LEVEL interval."""

    mean: float
    low: float
    high: float


def independent_units(values: NDArray[np.float64]) -> tuple[Unit, NDArray[np.float64]]:
    """Tells what of a table is independent: the means of its prompts, or the images of its only prompt.

    Args:
        values: (P, K), P >= 1; finite.

    Returns:
        What the units are, and the value of each, (P,) or (K,).
    """
    if len(values) == 1:
        return Unit.IMAGES, values[0]
    return Unit.PROMPTS, values.mean(1)


def estimate(values: NDArray[np.float64], seed: int) -> Interval | None:
    """Estimates a mean over prompts: the one place that decides how.

    Args:
        values: (P, K), each prompt generated with the same seeds; finite.
        seed: Of the resampling.

    Returns:
        From FEW_PROMPTS prompts on by `nested_bootstrap`, with fewer Student's interval of their means, with one prompt
        that of its images; None where there are fewer than two of them.
    """
    if values.size < 2:
        return None
    unit, of_units = independent_units(values)
    if unit is Unit.PROMPTS and len(of_units) >= FEW_PROMPTS:
        return nested_bootstrap(values, seed)
    return students_interval(of_units)


def standard_error(values: NDArray[np.float64]) -> float:
    """Returns the standard error of the mean of independent values, (N,), N >= 2; equal ones have none."""
    return float(values.std(ddof=1)) / math.sqrt(len(values)) if np.ptp(values) else 0.0


def students_interval(values: NDArray[np.float64]) -> Interval:
    """Estimates a mean of independent, roughly normal values.

    Paper: The Probable Error of a Mean (Student, 1908).

    Args:
        values: (N,), N >= 2.

    Returns:
        The mean and its LEVEL interval.
    """
    mean = float(values.mean())
    half = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * standard_error(values)
    return Interval(mean, mean - half, mean + half)


def nested_bootstrap(values: NDArray[np.float64], seed: int) -> Interval:
    """Estimates a mean over prompts by the bootstrap-t: resample prompts, then seeds within each.

    Every draw is divided by its own standard error. The percentiles of the bare means would count the noise of seeds
    twice: once in the means of the prompts, and again in the second step.

    Papers: An Introduction to the Bootstrap (Efron & Tibshirani, 1993), section 12.5; for the two steps, Bootstrap
    Methods and their Application (Davison & Hinkley, 1997), section 3.8.

    Args:
        values: (P, K), P >= 2; finite.
        seed: Of the resampling.

    Returns:
        The mean over prompts and its LEVEL interval; Student's where so many prompts agree exactly that a
        whole tail of the draws has no spread.
    """
    prompts, seeds = values.shape
    of_prompts = values.mean(1)
    mean, error = float(of_prompts.mean()), standard_error(of_prompts)
    if not error:
        return Interval(mean, mean, mean)
    random = np.random.default_rng(derive_seed(seed, "bootstrap"))
    ratios = []
    for _ in range(0, DRAWS, CHUNK):
        chosen = random.integers(prompts, size=(CHUNK, prompts, 1))
        within = random.integers(seeds, size=(CHUNK, prompts, seeds))
        generated = values[chosen, within].mean(2)
        errors = generated.std(1, ddof=1) / math.sqrt(prompts)
        spread = errors > NO_SPREAD * error
        ratios.append((generated.mean(1)[spread] - mean) / errors[spread])
    kept = np.concatenate(ratios)
    if len(kept) < (1 + LEVEL) / 2 * DRAWS:  # a whole tail was dropped
        return students_interval(of_prompts)
    low, high = np.quantile(kept, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean, mean - float(high) * error, mean - float(low) * error)


def reported_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Keeps the rows that a metric's figure is the mean of.

    Args:
        table: Scores, one row per image, metric and references.

    Returns:
        Of each metric those of the first of REPORTED_SETS on which it has a value; nothing of one without values.
    """
    scored = table[table["value"].notna()]
    sets = {
        metric: next((name for name in REPORTED_SETS if name in set(found)), None)
        for metric, found in scored.groupby("metric")["set"]
    }
    return table[table["set"] == table["metric"].map(sets)]


def score_grid(values: "pd.Series[float]", metric: str) -> NDArray[np.float64]:
    """Lays a metric's values out by prompt and seed, so that those of one prompt are independent.

    DIVERSITY of an image is its mean distance to the others of its prompt, so each image is in the values of all, and
    their spread is half of what their mean's is. The jackknife's pseudo-values K U - (K - 1) U_(-k), U being the mean
    over the pairs of K images and U_(-k) that without image k, have the same mean and the right spread.

    Paper: Jackknifing U-Statistics (Arvesen, 1969).

    Args:
        values: Or differences, by prompt_id and seed, also of one set of images less those of another.
        metric: Which.

    Returns:
        (P, K), finite; a prompt of which an image has no value is left out.
    """
    grid: NDArray[np.float64] = values.unstack("seed").dropna().to_numpy(dtype=np.float64)
    images = grid.shape[1]
    if metric != DIVERSITY or images < 3:
        return grid
    return (2 * (images - 1) * grid - images * grid.mean(axis=1, keepdims=True)) / (images - 2)


def mean_interval(
    table: pd.DataFrame, variant: str, metric: str, seed: int = 0, prompt_set: str = TEST
) -> Interval | None:
    """Estimates a variant's mean on a set of prompts, against held-out photos.

    Args:
        table: Scores, one row per image, metric and references.
        variant: For example a checkpoint.
        metric: For example ``clip_t``.
        seed: Of the resampling.
        prompt_set: Of the manifest.

    Returns:
        The mean with its interval, see `estimate`; a prompt of which an image has no value is left out.
    """
    rows = table[(table["variant"] == variant) & (table["set"] == prompt_set) & (table["metric"] == metric)]
    rows = rows[rows["references"] != "train"]
    return estimate(score_grid(rows.set_index(["prompt_id", "seed"])["value"], metric), seed)


def against_base(table: pd.DataFrame, variant: str, seed: int = 0) -> dict[str, Interval]:
    """Compares a variant with base on what each metric is reported on, image by image: same prompt and seed.

    Args:
        table: Scores, one row per image, metric and references.
        variant: The checkpoint.
        seed: Of the resampling.

    Returns:
        The difference variant - base of each metric that both have, against held-out photos; one that has no interval
        (see `estimate`) is left out, and so is a prompt of which an image has no value.
    """
    rows = reported_rows(table[table["references"] != "train"]).dropna(subset="value")
    values = rows.pivot_table(index=["metric", "prompt_id", "seed"], columns="variant", values="value", dropna=False)
    if not {variant, BASE} <= set(values.columns):
        return {}
    paired = (values[variant] - values[BASE]).dropna()
    found = {
        str(metric): estimate(score_grid(of_metric.droplevel("metric"), str(metric)), seed)
        for metric, of_metric in paired.groupby("metric")
    }
    return {metric: interval for metric, interval in found.items() if interval is not None}
