"""Tells whether two photos show one picture: an affine map must explain the whole frame, not the subject alone."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from src.data.photos.keypoints import SIDE, Look, match, mirrored

# Of the strongest keypoints of either photo so many are compared first, and so many must match to go on.
FIRST, FIRST_MATCHES = 100, 4
RATIO = 0.85
# Fewer matches that agree are chance; they agree within so many pixels (1 % of the frame: a hand's parallax).
INLIERS, TOLERANCE = 8, 2.5
# One photo may be so many times as large as the other, and so much longer in one direction than in another.
ZOOM, SHEAR = 2.5, 1.35
# What the map leaves may move so many pixels more (2 % of the frame): the parallax of a hand's small movements.
MOTION = 0.02 * SIDE
# Pixels of the square in which two pictures are compared, and the variance (levels squared) of mere noise.
WINDOW, NOISE = 9, 16.0
# Structure is what varies more; it is explained where it correlates so much and is no brighter by so many levels.
STRUCTURE, CORRELATION, LEVELS = 40.0, 0.5, 40.0

Map = NDArray[np.float64]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Agreement:
    """How far one map explains two photos.

    Attributes:
        mirrored: Whether it is one with a mirror.
        inliers: Matching keypoints that obey it; 0 where the frames were laid on each other instead.
        moved: How far the map moves a corner of the frame, in longer sides; 0 to 1 % is a camera that stands still.
        overlap: Of the smaller frame, the share that the other one shows too.
        explained: Of the structure in that part, the share that is alike.
        changed: The largest connected part that is not alike, as a share of the common part.
    """

    mirrored: bool
    inliers: int
    moved: float
    overlap: float
    explained: float
    changed: float


def best_agreement(first: Look, second: Look, alike: bool) -> Agreement | None:
    """Finds the map from one photo to the other that explains most.

    Args:
        first: A photo.
        second: Another one.
        alike: Whether the frames as a whole look alike, so that they are laid on each other where keypoints are few.

    Returns:
        What it explains, or None where no map fits.
    """
    found = []
    for mirror in (False, True):
        fitted = _fit(first, second, mirror)
        if fitted is not None:
            found.append(_compare(first.grey, second.grey, *fitted, mirror))
    if alike and not found:
        found.append(_compare(first.grey, second.grey, _stretch(first.grey, second.grey), 0, False))
    return max(found, key=lambda agreement: agreement.explained * agreement.overlap, default=None)


def _fit(first: Look, second: Look, mirror: bool) -> tuple[Map, int] | None:
    one = first.descriptors.astype(np.float32)
    other = second.descriptors.astype(np.float32)
    if mirror:
        other = mirrored(other)
    if len(match(one[:FIRST], other[:FIRST], RATIO)) < FIRST_MATCHES:
        return None
    pairs = match(one, other, RATIO)
    if len(pairs) < INLIERS:
        return None
    # USAC draws from a seed of its own: the same points give the same map.
    found, inside = cv2.estimateAffine2D(
        second.points[pairs[:, 1]],
        first.points[pairs[:, 0]],
        method=cv2.USAC_ACCURATE,
        ransacReprojThreshold=TOLERANCE,
        maxIters=2000,
        confidence=0.999,
    )
    if found is None or (inliers := int(inside.sum())) < INLIERS:
        return None
    long, short = np.linalg.svd(found[:, :2], compute_uv=False)
    if long > ZOOM or short < 1 / ZOOM or long > SHEAR * short or (np.linalg.det(found[:, :2]) < 0) != mirror:
        return None
    return np.asarray(found, dtype=np.float64), inliers


def _stretch(first: Pixels, second: Pixels) -> Map:
    return np.array([[first.shape[1] / second.shape[1], 0, 0], [0, first.shape[0] / second.shape[0], 0]], np.float64)


def _compare(first: Pixels, second: Pixels, onto: Map, inliers: int, mirror: bool) -> Agreement:
    height, width = first.shape
    warped = cv2.warpAffine(second, onto, (width, height))
    common = cv2.warpAffine(np.full_like(second, 255), onto, (width, height)) == 255
    smaller = min(1.0, abs(float(np.linalg.det(onto[:, :2]))) * second.size / first.size)
    overlap = float(common.mean()) / smaller
    corners = np.array([(x, y, 1) for x in (0, second.shape[1]) for y in (0, second.shape[0])])
    displacement = float(np.linalg.norm(corners @ onto.T - corners[:, :2], axis=1).max()) / SIDE
    if not common.any():
        return Agreement(mirror, inliers, displacement, 0.0, 0.0, 1.0)
    moved = _follow(first, warped, common)
    alike, structure = _alike(first.astype(np.float32), moved, common)
    bad = structure & ~alike
    if structure.any():
        explained = 1 - bad.sum() / structure.sum()
    else:  # blank: nothing but the brightness tells
        explained = float(abs(first[common].mean() - warped[common].mean()) < LEVELS)
    whole = cv2.morphologyEx(bad.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    areas = cv2.connectedComponentsWithStats(whole)[2][1:, cv2.CC_STAT_AREA]
    changed = float(areas.max() / common.sum()) if len(areas) else 0.0
    return Agreement(mirror, inliers, displacement, min(overlap, 1.0), float(explained), changed)


def _follow(first: Pixels, second: Pixels, common: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Lets parts of the second picture move a little (dense inverse search: Kroeger et al., 2016, arXiv:1603.03590)."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(
        np.where(common, first, 0), np.where(common, second, 0), None
    )
    flow *= np.minimum(1, MOTION / np.maximum(np.linalg.norm(flow, axis=2, keepdims=True), 1e-6))
    x, y = np.meshgrid(*(np.arange(length, dtype=np.float32) for length in first.shape[::-1]))
    moved = cv2.remap(second, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR)
    return np.asarray(moved, dtype=np.float32)


def _alike(
    first: NDArray[np.float32], second: NDArray[np.float32], common: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Says where two pictures are alike, and where either has structure, both (h, w)."""
    one, other = first[common], second[common]
    gain = np.clip(one.std() / max(float(other.std()), 1e-3), 0.5, 2)
    second = (second - other.mean()) * gain + one.mean()
    weight = common.astype(np.float32)

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(values * weight, (WINDOW, WINDOW)), dtype=np.float32)

    inside = mean(np.ones_like(first))
    share = np.maximum(inside, 1e-3)
    mean_one, mean_other = mean(first) / share, mean(second) / share
    spread_one = np.maximum(mean(first * first) / share - mean_one**2, 0)
    spread_other = np.maximum(mean(second * second) / share - mean_other**2, 0)
    together = mean(first * second) / share - mean_one * mean_other
    correlation = (together + NOISE / 2) / np.sqrt((spread_one + NOISE) * (spread_other + NOISE))
    alike = np.abs(mean_one - mean_other) < LEVELS
    structure = common & (inside > 0.6) & (np.maximum(spread_one, spread_other) > STRUCTURE)
    return alike & ((correlation > CORRELATION) | ~structure), structure
