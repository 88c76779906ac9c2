"""What the numbers of images and photos allow the measures of copying to say; without torch, so that a report can."""

import math

import numpy as np
from numpy.typing import ArrayLike

from src.metrics.names import REAL_QUANTILE

# with fewer photos than this none can have REAL_QUANTILE of them, but not all, at or below it
ENOUGH_PHOTOS = round(1 / (1 - REAL_QUANTILE))


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
