"""Which scores tell of copying, and what their numbers allow to say; without torch, so that a report can."""

import math

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from src.metrics.names import HELD_OUT_ROWS, REAL, REAL_DECODED, REAL_QUANTILE

# with fewer photos than this none can have REAL_QUANTILE of them, but not all, at or below it
ENOUGH_PHOTOS = round(1 / (1 - REAL_QUANTILE))


def generated_scores(table: pd.DataFrame, metric: str, variant: str, prompt_set: str) -> pd.DataFrame:
    """Picks what a metric says of a variant's images of a prompt set.

    Args:
        table: Scores, one row per image, metric and references.
        metric: For example ``nn_train``.
        variant: The checkpoint.
        prompt_set: For example ``test``.

    Returns:
        The rows that have a value.
    """
    own = (table["metric"] == metric) & (table["variant"] == variant) & (table["set"] == prompt_set)
    return table[own].dropna(subset="value")


def held_out_scores(table: pd.DataFrame, metric: str) -> NDArray[np.float64]:
    """Picks what a metric says of the held-out photos.

    Args:
        table: Scores, one row per image, metric and references.
        metric: For example ``nn_train``.

    Returns:
        (R,), finite: of the photos through the autoencoder, as generated images went, or as they are where there is
        nothing of those.
    """
    rows = table[(table["metric"] == metric) & table["variant"].isin(HELD_OUT_ROWS)].dropna(subset="value")
    through = REAL_DECODED if (rows["variant"] == REAL_DECODED).any() else REAL
    return rows[rows["variant"] == through]["value"].to_numpy(dtype=np.float64)


def held_out_level(likeness: ArrayLike) -> float:
    """Returns the likeness above which an image is suspected of being a copy.

    Args:
        likeness: Of each held-out photo to its nearest training photo, at least one.

    Returns:
        The smallest of them that REAL_QUANTILE of them do not exceed, which is the largest of fewer than ENOUGH_PHOTOS.
    """
    return float(np.quantile(np.asarray(likeness, dtype=np.float64), REAL_QUANTILE, method="inverted_cdf"))


def largest_rank_z(first: int, second: int) -> float:
    """Computes the largest z that `rank_z` can reach; its smallest is the same below zero.

    Args:
        first: The size M of one sample.
        second: The size N of the other.

    Returns:
        sqrt(3 M N / (M + N + 1)): without ties U is between 0 and M N, and z is (U - M N / 2) / sqrt(M N (M + N + 1) /
        12). Ties only bring U nearer to its middle.
    """
    return math.sqrt(3 * first * second / (first + second + 1))
