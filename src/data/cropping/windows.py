"""Which window of a photo differs most from what surrounds it: saliency without a learned model.

Every pixel becomes one of a few codes for its colour and fine texture, found by clustering this photo; codes that look
alike share their counts, or else a shaded wall would fall into regions. A window is salient where its histogram is
unlike that of the ring around it (the centre-surround histogram of Liu et al., Learning to Detect a Salient Object,
CVPR 2007, section 3.2), unlike the photo's border (Wei et al., Geodesic Saliency Using Background Priors, ECCV 2012)
and not far from the middle, where people put what they photograph. The best window then grows over the pixels that are
more its own than its surroundings' (Swain and Ballard, Color Indexing, IJCV 1991).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Codes = NDArray[np.intp]
Table = NDArray[np.float64]

WORK_PX = 256
NUM_CODES = 32
CLUSTER_STEPS = 8
SAMPLE_EVERY = 7
# One unit of each feature is about equally visible: L*, a*, b* of CIELAB and the logarithm of the texture's strength.
FEATURE_SCALES = (25.0, 12.0, 12.0, 0.83)
# How far codes share counts, in the same unit: more blurs small subjects away, none makes shading stand out.
KINSHIP_SIGMA = 0.27
# Window sides as shares of the photo's shorter side, and their width : height.
SIZES = tuple(float(size) for size in np.geomspace(0.1, 0.85, 12))
ASPECTS = (1.0, 0.75, 4 / 3)
RING = 0.22
# Chosen on 45 phone photos of a toy and a dog: contrast to the power 1.5, size to the power 0.3 (against eyes and
# noses), a Gaussian of 0.22 photo sides around the middle.
CONTRAST_POWER, SIZE_POWER, CENTRE_SIGMA = 1.5, 0.3, 0.22
MIN_WINDOW_PX = 6
# Growing stops at half a window on each side, and keeps all but the window's outer 15 %.
GROWTH, SHRINKAGE = 0.5, 0.15


@dataclass(frozen=True)
class Window:
    """A rectangle in pixels of the photo, and how much it stands out (0: not at all, 1: as much as can be)."""

    left: float
    top: float
    right: float
    bottom: float
    score: float


def most_salient_window(image: Image.Image) -> Window | None:
    """Finds the window that stands out most.

    Args:
        image: RGB, any size.

    Returns:
        The window, or None where the photo is too narrow to have one.
    """
    scale = WORK_PX / max(image.size)
    small = image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.LANCZOS
    )
    codes, kinship = _codes(np.asarray(small, dtype=np.float32) / np.float32(255))
    best = _best_window(codes, kinship)
    if best is None:
        return None
    left, top, right, bottom = _grow(codes, best)
    x, y = image.width / small.width, image.height / small.height
    return Window(left * x, top * y, right * x, bottom * y, best.score)


def _codes(rgb: NDArray[np.float32]) -> tuple[Codes, Table]:
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    lightness = lab[..., 0]
    detail = lightness - ndimage.gaussian_filter(lightness, 1.5)
    texture = np.log(np.sqrt(ndimage.gaussian_filter(detail**2, 2.0)) + 0.5)
    features = np.dstack([lab, texture]) / np.array(FEATURE_SCALES, dtype=np.float32)
    points = features.reshape(-1, len(FEATURE_SCALES)).astype(np.float64)
    centres = _cluster(points[::SAMPLE_EVERY])
    kinship = np.exp(-((centres[:, None] - centres[None]) ** 2).sum(axis=-1) / (2 * KINSHIP_SIGMA**2))
    return _nearest(points, centres).reshape(lightness.shape), kinship / kinship.sum(axis=1, keepdims=True)


def _cluster(points: Table) -> Table:
    """k-means from a farthest-point start, without a random draw."""
    centres = [points.mean(axis=0)]
    distance = ((points - centres[0]) ** 2).sum(axis=1)
    for _ in range(NUM_CODES - 1):
        centres.append(points[distance.argmax()])
        distance = np.minimum(distance, ((points - centres[-1]) ** 2).sum(axis=1))
    found = np.array(centres)
    for _ in range(CLUSTER_STEPS):
        nearest = _nearest(points, found)
        for code in range(NUM_CODES):
            if (members := nearest == code).any():
                found[code] = points[members].mean(axis=0)
    return found


def _nearest(points: Table, centres: Table) -> Codes:
    return ((points[:, None] - centres[None]) ** 2).sum(axis=-1).argmin(axis=1)


def _best_window(codes: Codes, kinship: Table) -> Window | None:
    height, width = codes.shape
    table = np.zeros((height + 1, width + 1, NUM_CODES))
    table[1:, 1:] = np.eye(NUM_CODES)[codes].cumsum(axis=0).cumsum(axis=1)
    border = _shared(_border_histogram(codes), kinship)
    best: Window | None = None
    for size in SIZES:
        for aspect in ASPECTS:
            side = size * min(height, width)
            rows, columns = round(side / aspect**0.5), round(side * aspect**0.5)
            if rows > height or columns > width or min(rows, columns) < MIN_WINDOW_PX:
                continue
            found = _best_of_size(table, kinship, border, (rows, columns))
            score = found.score * size**SIZE_POWER
            if best is None or score > best.score:
                best = Window(found.left, found.top, found.right, found.bottom, score)
    return best


def _best_of_size(table: Table, kinship: Table, border: Table, shape: tuple[int, int]) -> Window:
    rows, columns = shape
    height, width = table.shape[0] - 1, table.shape[1] - 1
    step = max(1, min(rows, columns) // 8)
    grid = np.meshgrid(np.arange(0, height - rows + 1, step), np.arange(0, width - columns + 1, step), indexing="ij")
    top, left = grid[0].ravel(), grid[1].ravel()
    inside = _histograms(table, top, left, top + rows, left + columns)
    ring_y, ring_x = int(np.ceil(RING * rows)), int(np.ceil(RING * columns))
    around = _histograms(
        table,
        np.maximum(top - ring_y, 0),
        np.maximum(left - ring_x, 0),
        np.minimum(top + rows + ring_y, height),
        np.minimum(left + columns + ring_x, width),
    )
    ring = around - inside
    full_ring = (rows + 2 * ring_y) * (columns + 2 * ring_x) - rows * columns
    seen = ring.sum(axis=1) / full_ring
    p = _shared(inside / inside.sum(axis=1, keepdims=True), kinship)
    q = _shared(ring / np.maximum(ring.sum(axis=1, keepdims=True), 1), kinship)
    contrast = 0.5 * ((p - q) ** 2 / (p + q + 1e-9)).sum(axis=1)
    like_border = np.sqrt(p * border).sum(axis=1)
    off_x, off_y = (left + columns / 2) / width - 0.5, (top + rows / 2) / height - 0.5
    central = np.exp(-(off_x**2 + off_y**2) / (2 * CENTRE_SIGMA**2))
    score = contrast**CONTRAST_POWER * (1 - 0.5 * like_border) * central * seen
    at = int(score.argmax())
    return Window(left[at], top[at], left[at] + columns, top[at] + rows, float(score[at]))


def _histograms(table: Table, top: Codes, left: Codes, bottom: Codes, right: Codes) -> Table:
    return table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]


def _shared(histograms: Table, kinship: Table) -> Table:
    # Not a matrix product of BLAS, whose rounding may depend on the number of threads.
    return np.einsum("...i,ij->...j", histograms, kinship)


def _border_histogram(codes: Codes) -> Table:
    width = max(1, round(0.04 * min(codes.shape)))
    border = np.ones(codes.shape, dtype=bool)
    border[width:-width, width:-width] = False
    return np.bincount(codes[border], minlength=NUM_CODES) / border.sum()


def _grow(codes: Codes, window: Window) -> tuple[float, float, float, float]:
    left, top, right, bottom = (int(edge) for edge in (window.left, window.top, window.right, window.bottom))
    width, height = right - left, bottom - top
    inside = np.bincount(codes[top:bottom, left:right].ravel(), minlength=NUM_CODES)
    near = codes[max(0, top - height) : bottom + height, max(0, left - width) : right + width]
    outside = np.bincount(near.ravel(), minlength=NUM_CODES) - inside
    p, q = inside / inside.sum(), outside / max(1, outside.sum())
    own = ndimage.gaussian_filter((p / (p + q + 1e-4))[codes], 2.5) > 0.5
    labels, count = ndimage.label(own)
    overlap = np.bincount(labels[top:bottom, left:right].ravel(), minlength=count + 1)
    overlap[0] = 0
    if not overlap.any():
        return left, top, right, bottom
    rows, columns = np.nonzero(labels == overlap.argmax())
    first_x, last_x = np.quantile(columns, [0.01, 0.99])
    first_y, last_y = np.quantile(rows, [0.01, 0.99])
    return (
        min(max(first_x, left - GROWTH * width), left + SHRINKAGE * width),
        min(max(first_y, top - GROWTH * height), top + SHRINKAGE * height),
        max(min(last_x, right + GROWTH * width), right - SHRINKAGE * width),
        max(min(last_y, bottom + GROWTH * height), bottom - SHRINKAGE * height),
    )
