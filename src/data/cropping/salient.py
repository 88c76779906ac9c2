"""Crops around the object that stands out, found by a trained network."""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from src.core.errors import ConfigError, MissingModelError
from src.core.files import work_root
from src.core.weights import find_weight_file
from src.data.cropping.box import LARGEST, Box, CentreCropper, Mask, square_box

# what U2-Net was trained with
SIDE = 320
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
THRESHOLD = 0.5
# Parts smaller than a tenth of the largest are specks; a second one of half its size may be the subject instead.
SPECK, RIVAL = 0.1, 0.5
# The outermost pixels of a mask, as a share of its pixels along an axis.
QUANTILES = (0.005, 0.995)
# Shares of the photo: a smaller mask is doubted; so is one that lies along so much of the photo's edge.
TINY, RIM = 0.002, 0.05
# A crop that leaves out more of the mask says so.
LOST = 0.02


@dataclass(frozen=True)
class Find:
    """What stands out.

    Attributes:
        mask: Where, (SIDE, SIDE), over the whole photo.
        box: Left, top, right and bottom of it, as shares of the photo's width and height.
        doubt: Why it may not be the subject, else empty.
    """

    mask: Mask
    box: tuple[float, float, float, float]
    doubt: str


class SalientCropper:
    """Keeps a square around the salient object; the largest square there is where it is missing or doubtful.

    Papers: U2-Net: Going Deeper with Nested U-Structure for Salient Object Detection (Qin et al., 2020),
    arXiv:2005.09007; its small network, 1.1 M parameters.

    Attributes:
        name: What crops.csv calls it.

    Args:
        id: The folder of the weights, relative to the project's root.
        revision: None; see `fetch_model`.
        file: The ONNX file in it.
        sha256: The file's content hash.
        url: Where the file comes from; read by `fetch_model` alone.
        margin: The square's side over the object's longer side, >= 1.
        pad: Whether a square that is larger than the photo's shorter side goes beyond its edges.

    Raises:
        ConfigError: The margin is out of range.
        ModelMismatchError: The file has another content.
    """

    name = "salient"

    def __init__(
        self,
        id: str,  # noqa: A002 - the key's name in every config group
        revision: str | None,
        file: str,
        sha256: str | None,
        url: str | None,  # noqa: ARG002 - fetch_model reads it
        margin: float,
        pad: bool,
    ) -> None:
        if not margin >= 1:
            raise ConfigError(f"cropper.margin={margin}: expected 1 or more")
        self.margin, self.pad = margin, pad
        self.weights = Path(id) / file
        try:
            found = find_weight_file(str(work_root() / id), revision, file, sha256)
        except MissingModelError:
            self.network = None
        else:
            self.network = cv2.dnn.readNetFromONNX(str(found))
            # of seven maps the first is the fused one
            self.output = self.network.getUnconnectedOutLayersNames()[0]

    def find(self, image: Image.Image) -> Box:
        """Returns a square around the object.

        Args:
            image: Upright RGB photo.

        Returns:
            The square, with the object's mask where there is one; a warning where it is doubtful or cut.
        """
        if self.network is None:
            missing = f"{self.weights} is not here: {LARGEST} (`make env` brings it, then crop again)"
            return replace(CentreCropper().find(image), warning=missing)
        found = self._look(image)
        if found is None:
            return replace(CentreCropper().find(image), warning=f"nothing stands out: {LARGEST}")
        size, largest = image.size, min(image.size)
        left, right = found.box[0] * image.width, found.box[2] * image.width
        top, bottom = found.box[1] * image.height, found.box[3] * image.height
        side = largest if found.doubt else self.margin * max(right - left, bottom - top)
        centre = ((left + right) / 2, (top + bottom) / 2)
        if side > largest and self.pad:
            return padded_box(centre, side, found.mask)
        box = square_box(_densest(found.mask, centre, min(side, largest), size), side, size, "", found.mask)
        if found.doubt:
            return replace(box, warning=f"{found.doubt}: {LARGEST}")
        lost = 1 - _covered(found.mask, box, size)
        if lost > LOST:
            cut = f"{lost:.0%} of the subject is outside of the largest square (crop.pad=true keeps all of it)"
            return replace(box, warning=cut)
        return box

    def _look(self, image: Image.Image) -> Find | None:
        assert self.network is not None
        pixels = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS), dtype=np.float32)
        scaled = (pixels / max(float(pixels.max()), 1.0) - np.array(MEAN)) / np.array(DEVIATION)
        self.network.setInput(np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], dtype=np.float32))
        return _read_map(self.network.forward(self.output)[0, 0])


def _read_map(probabilities: NDArray[np.float32]) -> Find | None:
    """Reads a map of probabilities, (SIDE, SIDE); None where nothing stands out."""
    parts, count = ndimage.label(probabilities > THRESHOLD)
    if not count:
        return None
    areas = np.bincount(parts.ravel())[1:]
    mask = np.isin(parts, 1 + np.flatnonzero(areas >= SPECK * areas.max()))
    ys, xs = np.nonzero(mask)
    (left, right), (top, bottom) = (np.quantile(values, QUANTILES) for values in (xs, ys))
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean()
    doubt = ""
    if mask.mean() < TINY:
        doubt = "what stands out is tiny"
    elif (areas >= RIVAL * areas.max()).sum() > 1:
        doubt = "several things stand out"
    elif rim > RIM:
        doubt = "what stands out reaches the photo's edge"
    return Find(mask, (left / SIDE, top / SIDE, (right + 1) / SIDE, (bottom + 1) / SIDE), doubt)


def padded_box(centre: tuple[float, float], side: float, mask: Mask) -> Box:
    """Returns a square that may go beyond the photo."""
    pixels = round(side)
    left, top = (round(middle - pixels / 2) for middle in centre)
    return Box(left, top, left + pixels, top + pixels, "", mask)


def _densest(mask: Mask, centre: tuple[float, float], side: float, size: tuple[int, int]) -> tuple[float, float]:
    """Moves a square along the axes that the object is too long for, to where most of it is inside."""
    moved = []
    for axis, (middle, length) in enumerate(zip(centre, size, strict=True)):
        counts = mask.sum(axis=axis)  # over rows for x, over columns for y
        cells = min(max(round(side / length * SIDE), 1), SIDE)
        spread = np.flatnonzero(counts)
        if spread[-1] - spread[0] + 1 <= cells:
            moved.append(middle)
            continue
        sums = np.convolve(counts, np.ones(cells, dtype=np.int64), "valid")
        best = np.flatnonzero(sums == sums.max()).mean()
        moved.append((best + cells / 2) / SIDE * length)
    return moved[0], moved[1]


def _covered(mask: Mask, box: Box, size: tuple[int, int]) -> float:
    """Returns the share of the mask that is inside."""
    edges = [
        round(edge / length * SIDE)
        for edge, length in zip((box.left, box.top, box.right, box.bottom), (*size, *size), strict=True)
    ]
    return float(mask[edges[1] : edges[3], edges[0] : edges[2]].sum() / mask.sum())
