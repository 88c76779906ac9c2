"""What is wrong with crops: blurred, enlarged, too little of the subject, several pictures of one moment."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from src.data.checks.finding import Finding
from src.data.cropping.box import ENLARGED
from src.data.photos.fingerprint import laplacian

# The subject's outline against the background is no measure of it: so many pixels of 128 are left out along it.
RIM = 1 / 128
# fewer pixels of a subject say nothing
LEAST_PIXELS = 64


@dataclass(frozen=True)
class CropRow:
    """What crop and convert know of a photo.

    Attributes:
        image: Its image_id.
        group: Its near-duplicate group.
        side: Of the crop, pixels of the photo.
        scale: Crop pixels per photo pixel.
        share: Of the crop, what the subject fills; None where the cropper has no mask.
        warning: The cropper's, or empty.
    """

    image: str
    group: str
    side: int
    scale: float
    share: float | None
    warning: str


def subject_sharpness(crop: Image.Image, mask: Image.Image | None, side: int) -> float:
    """Computes the variance of the Laplacian inside the subject (Pech-Pacheco et al., 2000).

    Args:
        crop: RGB, square.
        mask: Mode L, of the crop's size, white where the subject is; None takes the whole crop.
        side: Of the crop in pixels of the photo: one that was enlarged is measured at that size, because it has no
            finer detail however sharp the photo is.

    Returns:
        0 for a flat subject, below 30 for a blurred one.
    """
    size = (min(side, crop.width),) * 2
    grey = np.asarray(crop.convert("L").resize(size, Image.Resampling.LANCZOS), dtype=np.float64)
    inside = np.ones(grey.shape, dtype=bool)
    if mask is not None:
        whole = np.asarray(mask.resize(size)) > 127
        inner = ndimage.binary_erosion(whole, iterations=max(1, round(size[0] * RIM)))
        chosen = inner if inner.sum() >= LEAST_PIXELS else whole
        inside = chosen if chosen.sum() >= LEAST_PIXELS else inside
    return float(laplacian(grey)[inside].var())


def blurred(sharpness: dict[str, float], least: float, least_share: float) -> list[Finding]:
    """Finds blurred photos: below a fixed sharpness, or far below the others'.

    Args:
        sharpness: By image_id.
        least: Below it a photo is blurred whatever the others are.
        least_share: Below this share of the median it is, too.

    Returns:
        The blurred ones, the worst first; the threshold is the higher one of the two, the detail the median.
    """
    if not sharpness:
        return []
    median = float(np.median(list(sharpness.values())))
    threshold = max(least, least_share * median)
    found = [
        Finding("blurred", (image,), value, threshold, f"{median:z.0f}")
        for image, value in sharpness.items()
        if value < threshold
    ]
    return sorted(found, key=lambda finding: (finding.figure, finding.images))


def framing(rows: Sequence[CropRow], least_share: float, max_upscale: float) -> list[Finding]:
    """Finds crops with too little of the subject, enlarged ones, and those of which the cropper warns.

    Args:
        rows: The crops.
        least_share: Of the crop, what the subject has to fill.
        max_upscale: A crop may be enlarged so many times.

    Returns:
        Subjects from the smallest on, enlarged crops from the largest factor on, then the cropper's warnings.
    """
    small = [Finding("small", (r.image,), r.share, least_share) for r in rows if r.share is not None]
    small = [finding for finding in small if finding.figure < least_share]
    large = [Finding("upscaled", (row.image,), row.scale, max_upscale) for row in rows if row.scale > max_upscale]
    doubts = [(row, "; ".join(p for p in row.warning.split("; ") if not p.startswith(ENLARGED))) for row in rows]
    return [
        *sorted(small, key=lambda finding: (finding.figure, finding.images)),
        *sorted(large, key=lambda finding: (-finding.figure, finding.images)),
        *(Finding("crop", (row.image,), 1, 0, doubt) for row, doubt in doubts if doubt),
    ]


def duplicates(rows: Sequence[CropRow], most: int) -> list[Finding]:
    """Finds pictures that are there several times, as convert grouped them.

    Args:
        rows: The crops.
        most: So many of one group are fine.

    Returns:
        A finding for each group with more, the largest first.
    """
    members: dict[str, list[str]] = {}
    for row in rows:
        members.setdefault(row.group, []).append(row.image)
    found = [Finding("duplicates", tuple(ids), len(ids), most) for ids in members.values() if len(ids) > most]
    return sorted(found, key=lambda finding: (-finding.figure, finding.images))
