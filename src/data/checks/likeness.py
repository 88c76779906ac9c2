"""Photos that are unlike the others: perhaps of another subject, or the crop holds something else."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from src.data.checks.finding import Finding

# of a normal distribution: its standard deviation over its median absolute deviation
NORMAL = 1.4826
# what stands in place of all that is not the subject, and the side of the square over the subject's longer side
GROUND, MARGIN = (128, 128, 128), 1.1


def subject_alone(crop: Image.Image, mask: Image.Image | None) -> Image.Image:
    """Cuts the subject out of its crop, so that a common background makes nothing alike.

    Args:
        crop: RGB.
        mask: Mode L, of the crop's size, white where the subject is; None where it is not known.

    Returns:
        A square around the subject on grey; the crop itself without a mask, or with an empty one.
    """
    edges = mask.getbbox() if mask is not None else None
    if mask is None or edges is None:
        return crop
    left, top, right, bottom = edges
    side = round(MARGIN * max(right - left, bottom - top))
    alone = Image.new("RGB", (side, side), GROUND)
    place = ((side - (right - left)) // 2, (side - (bottom - top)) // 2)
    alone.paste(crop.crop(edges), place, mask.crop(edges))
    return alone


def outliers(
    features: NDArray[np.float64],
    images: Sequence[str],
    groups: Sequence[str],
    deviations: float,
    least_spread: float,
) -> list[Finding]:
    """Finds photos that are like none of the others.

    A photo's likeness is the cosine to the photo nearest to it, near-duplicates of it left out. It is an outlier where
    this is so many deviations below the median of all. The deviation is 1.4826 times the median absolute deviation
    (Leys et al., 2013, "Detecting outliers: do not use standard deviation around the mean, use absolute deviation
    around the median"), so that outliers do not hide themselves; at least `least_spread`, as few photos agree by
    chance. Two photos of one stranger are near to each other, and stay unseen.

    Args:
        features: Unit vectors, (N, D).
        images: Their image_ids.
        groups: Their near-duplicate groups, at least two different ones.
        deviations: From so many on.
        least_spread: The least deviation, of a cosine.

    Returns:
        The outliers, the farthest first; the detail says the likeness, and the median.
    """
    cosines = features @ features.T
    own = np.array(groups)
    cosines[own[:, None] == own[None, :]] = -np.inf
    nearest = cosines.max(axis=1)
    median = float(np.median(nearest))
    spread = max(NORMAL * float(np.median(np.abs(nearest - median))), least_spread)
    found = [
        Finding("outlier", (image,), (median - value) / spread, deviations, f"{value:z.2f}, {median:z.2f}")
        for image, value in zip(images, nearest.tolist(), strict=True)
        if (median - value) / spread > deviations
    ]
    return sorted(found, key=lambda finding: (-finding.figure, finding.images))


def strange_faces(faces: dict[str, NDArray[np.float64]], same_person: float) -> list[Finding]:
    """Finds photos whose largest face is of another person than most of the others.

    Args:
        faces: A unit vector for each photo with a face, by image_id.
        same_person: The least median cosine to the others' faces.

    Returns:
        The strangers, the least alike first; none where fewer than three photos have a face.
    """
    if len(faces) < 3:
        return []
    rows = np.stack(list(faces.values()))
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, np.nan)
    medians = np.nanmedian(cosines, axis=1).tolist()
    found = [
        Finding("strange_face", (image,), value, same_person)
        for image, value in zip(faces, medians, strict=True)
        if value < same_person
    ]
    return sorted(found, key=lambda finding: (finding.figure, finding.images))
