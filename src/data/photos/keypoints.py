"""What is kept of each photo to find its near-duplicates: a small grey picture, and keypoints with descriptors."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

# Pixels of the longer side of `Look.grey`.
SIDE = 256
KEYPOINTS = 300
# A quarter of the usual contrast: plain walls and dark rooms must give keypoints, too.
CONTRAST = 0.01
# SIFT's descriptor: 4 x 4 cells of 8 directions.
CELLS, DIRECTIONS = 4, 8

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Look:
    """A photo as near-duplicates are told by.

    Attributes:
        grey: (h, w), uint8, the longer side 256 pixels.
        points: (n, 2), x and y in pixels of `grey`, the strongest keypoint first, n at most KEYPOINTS.
        descriptors: (n, 128), float16, unit length.
    """

    grey: NDArray[np.uint8]
    points: Floats
    descriptors: NDArray[np.float16]


def look_at(grey: NDArray[np.float64]) -> Look:
    """Finds a photo's keypoints.

    SIFT (Lowe, 2004, "Distinctive image features from scale-invariant keypoints"), compared by the Hellinger kernel
    (RootSIFT: Arandjelovic and Zisserman, 2012, "Three things everyone should know to improve object retrieval").

    Args:
        grey: (h, w) in [0, 255].

    Returns:
        The photo; without keypoints where it is flat.
    """
    pixels = np.round(grey).astype(np.uint8)
    found, raw = cv2.SIFT.create(KEYPOINTS, contrastThreshold=CONTRAST).detectAndCompute(pixels, None)
    scale = SIDE / max(pixels.shape)
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    order = sorted(range(len(found)), key=lambda i: (-found[i].response, found[i].pt, found[i].angle))[:KEYPOINTS]
    if not order:
        return Look(small, np.zeros((0, 2), np.float32), np.zeros((0, CELLS**2 * DIRECTIONS), np.float16))
    points = np.array([found[i].pt for i in order], dtype=np.float32) * np.float32(scale)
    counts = np.asarray(raw, dtype=np.float32)[order]
    roots = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-9))
    return Look(small, points, roots.astype(np.float16))


def mirrored(descriptors: Floats) -> Floats:
    """Returns the descriptors that keypoints have in the mirror image: rows of cells swapped, directions reversed."""
    cells = descriptors.reshape(-1, CELLS, CELLS, DIRECTIONS)[:, ::-1]
    return cells[..., -np.arange(DIRECTIONS) % DIRECTIONS].reshape(descriptors.shape)


def match(first: Floats, second: Floats, ratio: float) -> NDArray[np.intp]:
    """Pairs descriptors that are each other's nearest and clearly nearer than the second nearest (Lowe's ratio test).

    Args:
        first: (n, d), unit length.
        second: (m, d), unit length.
        ratio: The largest quotient of the two distances.

    Returns:
        (k, 2), indices into both.
    """
    if len(first) < 2 or len(second) < 2:
        return np.zeros((0, 2), dtype=np.intp)
    # not `@`: the threads of BLAS wait for each other, 17 times as long, where photos are compared side by side
    likeness = cv2.gemm(first, second, 1, None, 0, flags=cv2.GEMM_2_T)
    rows = np.arange(len(first))
    nearest = likeness.argmax(axis=1)
    mutual = likeness.argmax(axis=0)[nearest] == rows
    best = likeness[rows, nearest]
    likeness[rows, nearest] = -1
    clear = 1 - best <= ratio**2 * (1 - likeness.max(axis=1))
    keep = np.flatnonzero(mutual & clear)
    return np.stack([keep, nearest[keep]], axis=1)
