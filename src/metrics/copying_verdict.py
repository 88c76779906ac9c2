"""Says of a run whether it copies its training photos; one rule, without torch, for stage, report and benchmark."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest

from src.core.sets import TEST
from src.metrics.copying_limits import generated_scores, held_out_level, held_out_scores
from src.metrics.intervals import LEVEL
from src.metrics.names import NEAREST, PART

# An image with a tile so like a photo's has a part of it. Chosen on the 24 sample photos, where images of a checkpoint
# have 0.52 at most on average, photos that the model never saw 0.60, halves and pasted subjects 1.00
# (benchmarks/bench_copying.py, docs/evaluation_checks.md).
PART_LEVEL = 0.95
# what share of images with such a tile is a finding; honest images had none, so that few images are the limit
PART_LIMIT = 0.1
# Copies that were turned or zoomed a little are as near as 0.91 on average. Where a held-out photo is nearer than this
# to a training photo, most of them stay below the level, and their absence tells nothing.
BLIND_LEVEL = 0.9
# how seldom honest images of the subject may exceed `whole_limit`
CHANCE = 0.05


class Said(Enum):
    """The verdict; its values are keys of the report's texts."""

    COPIES = "copies"
    NO_SIGN = "no_sign"
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True)
class Finding:
    """What one measure says.

    Attributes:
        kind: ``whole`` or ``part``.
        count: Images over the measure's level.
        total: Images.
        low: Where the interval of their share begins.
        high: Where it ends.
        limit: The share that would be a finding; of parts not less than held-out photos have.
        said: Whether the interval lies above it, below it, or neither.
        blind: Photos that the model never saw are as near as changed copies: then no sign is nothing told.
    """

    kind: str
    count: int
    total: int
    low: float
    high: float
    limit: float
    said: Said
    blind: bool


def copying_verdict(table: pd.DataFrame, variant: str) -> tuple[Said, tuple[Finding, ...]] | None:
    """Applies the rule to a variant's test images: copies, if one measure says so; no sign, if both say so.

    Args:
        table: Scores, one row per image, metric and references.
        variant: The checkpoint.

    Returns:
        The verdict and what it stands on; None where copying was not measured.
    """
    whole, part = (
        generated_scores(table, metric, variant, TEST)["value"].to_numpy(dtype=np.float64) for metric in (NEAREST, PART)
    )
    real_whole, real_part = (held_out_scores(table, metric) for metric in (NEAREST, PART))
    if not (len(whole) and len(part) and len(real_whole)):
        return None
    level = held_out_level(real_whole)
    findings = (
        _finding("whole", whole > level, whole_limit(len(real_whole)), blind=level >= BLIND_LEVEL),
        _finding("part", part >= PART_LEVEL, max(PART_LIMIT, _share(real_part >= PART_LEVEL)), blind=False),
    )
    said = {finding.said for finding in findings}
    for verdict in (Said.COPIES, Said.CANNOT_TELL):
        if verdict in said:
            return verdict, findings
    return Said.NO_SIGN, findings


def whole_limit(photos: int) -> float:
    """Returns the share of images nearer than every held-out photo that honest images hardly exceed.

    Args:
        photos: Held-out photos, at least one.

    Returns:
        1 - CHANCE^(1 / photos): images that are generated as the photos are lie above the largest of them with a
        probability of the distribution Beta(1, photos), which exceeds this in CHANCE of all splits.
    """
    return float(1 - CHANCE ** (1 / photos))


def _finding(kind: str, over: NDArray[np.bool_], limit: float, blind: bool) -> Finding:
    count, total = int(over.sum()), len(over)
    # the interval that holds its level at any count (Clopper & Pearson, 1934)
    low, high = binomtest(count, total).proportion_ci(LEVEL, method="exact")
    said = Said.COPIES if low > limit else Said.NO_SIGN if high < limit else Said.CANNOT_TELL
    if blind and said is Said.NO_SIGN:
        said = Said.CANNOT_TELL
    return Finding(kind, count, total, float(low), float(high), limit, said, blind)


def _share(over: NDArray[np.bool_]) -> float:
    return float(over.mean()) if len(over) else 0.0
