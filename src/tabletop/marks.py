"""What is painted on a part: stripes, a checker, dots, a patch, rings, a star, a letter or noise in a second colour.

Marks are functions of a point in the part's own frame, where its solid has half extent 1 (see `toys.Kind`).
"""

import math
from dataclasses import dataclass
from enum import Enum
from functools import cache

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

LETTERS = "ABCDEFGHKLMNPRSTUXYZ2345789"
# side of a letter's bitmap, pixels
GLYPH = 32


class Pattern(Enum):
    """The kinds of marks; the first four cover the whole part, the others lie on the side that they face."""

    STRIPES = 0
    CHECKER = 1
    DOTS = 2
    NOISE = 3
    PATCH = 4
    RINGS = 5
    STAR = 6
    LETTER = 7


@dataclass(frozen=True)
class Marks:
    """Marks on a part.

    Attributes:
        pattern: Their kind.
        colour: sRGB in [0, 1].
        towards: Where they face, or the direction that stripes cross, a unit vector in the part's own frame.
        size: Radius of what lies on one side, else the period; in half extents of the part.
        phase: In [0, 2 pi): shifts or turns the marks; chooses the letter.
    """

    pattern: Pattern
    colour: tuple[float, float, float]
    towards: tuple[float, float, float]
    size: float
    phase: float


def marked(marks: Marks, points: Tensor) -> Tensor:
    """Says where a part shows its marks.

    Args:
        marks: What is painted.
        points: In the part's own frame, (N, 3).

    Returns:
        (N,), bool.
    """
    pattern, phase = marks.pattern, marks.phase
    towards = torch.tensor(marks.towards)
    along = points @ towards
    if pattern is Pattern.STRIPES:
        return torch.sin(2 * math.pi * along / marks.size + phase) > 0
    if pattern is Pattern.CHECKER:
        return (points / marks.size + phase).floor().sum(1) % 2 == 0
    if pattern is Pattern.DOTS:
        cells = points / marks.size + phase
        return (cells - cells.floor() - 0.5).norm(dim=1) < 0.36
    if pattern is Pattern.NOISE:
        waves = torch.sin(points @ _directions(phase).T * (2 * math.pi / marks.size) + phase)
        return waves.sum(1) > 0
    across, upward = _beside(towards, phase)
    u, v = points @ across / marks.size, points @ upward / marks.size
    return (along > 0) & _facing(pattern, u, v, phase)


def _facing(pattern: Pattern, u: Tensor, v: Tensor, phase: float) -> Tensor:
    radius = torch.hypot(u, v)
    if pattern is Pattern.PATCH:
        return radius < 1
    if pattern is Pattern.RINGS:
        return (radius < 1) & ((radius * 2.5).floor() % 2 == 0)
    if pattern is Pattern.STAR:
        share = torch.atan2(v, u) * (5 / (2 * math.pi))
        return radius < 0.42 + 0.58 * 2 * (share - share.floor() - 0.5).abs()
    column, row = ((u + 1) / 2 * GLYPH).long(), ((1 - v) / 2 * GLYPH).long()
    inside = (u.abs() < 1) & (v.abs() < 1)
    glyph = torch.from_numpy(_glyph(LETTERS[int(phase * 1e4) % len(LETTERS)])).to(u.device)
    return inside & glyph[row.clamp(0, GLYPH - 1), column.clamp(0, GLYPH - 1)]


def _beside(towards: Tensor, phase: float) -> tuple[Tensor, Tensor]:
    """Returns two unit vectors across `towards`; the second points up as far as it can, turned a little."""
    up = torch.tensor([0.0, 0.0, 1.0] if abs(float(towards[2])) < 0.9 else [1.0, 0.0, 0.0])
    across = torch.nn.functional.normalize(torch.linalg.cross(up, towards), dim=0)
    upward = torch.linalg.cross(towards, across)
    turn = 0.5 * math.sin(7 * phase)
    return (
        across * math.cos(turn) + upward * math.sin(turn),
        upward * math.cos(turn) - across * math.sin(turn),
    )


def _directions(phase: float) -> Tensor:
    angles = torch.tensor([phase, phase * 2.3 + 1, phase * 3.7 + 2, phase * 5.1 + 3])
    heights = torch.sin(angles * 1.7)
    level = (1 - heights.square()).sqrt()
    return torch.stack([torch.cos(angles) * level, torch.sin(angles) * level, heights], 1)


@cache
def _glyph(letter: str) -> np.ndarray:
    picture = Image.new("L", (GLYPH, GLYPH))
    ImageDraw.Draw(picture).text(
        (GLYPH / 2, GLYPH / 2), letter, fill=255, font=ImageFont.load_default(GLYPH * 1.2), anchor="mm"
    )
    return np.asarray(picture) > 127
