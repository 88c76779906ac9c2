"""The loss looks at the subject: how much each latent cell counts, from the masks beside the crops."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from src.core.errors import BadPhotoError


def subject_cells(
    masks: Sequence[Path | None], views: int, side: tuple[int, int], background_weight: float
) -> Tensor | None:
    """Shrinks masks to latent cells and weighs what is outside of them.

    A cell that is half subject counts half as one. The weights of an image have mean 1, so that a photo with a small
    subject counts as much as one with a large one, and as one without a mask, whose whole square counts.

    Args:
        masks: White on the subject, N square images of the photos' size; None where there is none.
        views: 1, or 2 for the mirrored images as well.
        side: Latent height and width.
        background_weight: Outside of the subject, in [0, 1]; 1 is the whole square.

    Returns:
        (V, N, 1, h, w), float32; None where all count alike.

    Raises:
        BadPhotoError: A mask cannot be read.
    """
    if background_weight == 1 or not any(masks):
        return None
    cells = torch.stack([torch.ones(1, *side) if mask is None else _shrunk(mask, side) for mask in masks])
    weights = background_weight + (1 - background_weight) * cells
    mean = weights.mean((1, 2, 3), keepdim=True)
    # an empty mask says nothing
    weights = torch.where(mean > 0, weights / mean, torch.ones(()))
    return torch.stack([weights, weights.flip(-1)][:views])


def _shrunk(mask: Path, side: tuple[int, int]) -> Tensor:
    try:
        with Image.open(mask) as image:
            pixels = torch.from_numpy(np.asarray(image.convert("L"), dtype=np.float32))
    except (OSError, SyntaxError) as error:
        raise BadPhotoError(f"{mask}: cannot be read ({error}); run `dvc repro`") from error
    return adaptive_avg_pool2d(pixels[None] / 255, side)
