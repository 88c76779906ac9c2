"""What the toys stand on: ten textures as functions of a point of the ground.

Units: the ground's own plane, in toy heights. Colours are sRGB in [0, 1].
"""

import math

import torch
from torch import Tensor

BACKGROUNDS = ("asphalt", "bricks", "cloth", "grass", "marble", "rug", "sand", "snow", "tiles", "wood")


def background_colour(name: str, x: Tensor, y: Tensor, fade: Tensor, phase: Tensor) -> Tensor:
    """Colours points of the ground.

    Args:
        name: One of BACKGROUNDS.
        x: First coordinate, any shape S.
        y: Second coordinate, S.
        fade: In [0, 1], S: 0 shows the full texture, 1 its mean colour (a far point covers many periods).
        phase: In [0, 2 pi), broadcasts to S: which piece of the ground this is.

    Returns:
        (*S, 3).

    Raises:
        KeyError: No such ground.
    """
    first, second, share, mean = {
        "asphalt": _asphalt,
        "bricks": _bricks,
        "cloth": _cloth,
        "grass": _grass,
        "marble": _marble,
        "rug": _rug,
        "sand": _sand,
        "snow": _snow,
        "tiles": _tiles,
        "wood": _wood,
    }[name](x, y, phase)
    share = share + (mean - share) * fade
    low, high = torch.tensor(first), torch.tensor(second)
    return low + (high - low) * share[..., None]


Pattern = tuple[tuple[float, float, float], tuple[float, float, float], Tensor, float]


def _waves(x: Tensor, y: Tensor, phase: Tensor, frequency: float) -> Tensor:
    """Smooth noise in [0, 1]: sines that cross at odd angles."""
    total = torch.zeros_like(x)
    for index, (angle, scale) in enumerate(((0.3, 1.0), (1.4, 1.31), (2.2, 0.77), (2.9, 1.73))):
        along = (x * math.cos(angle) + y * math.sin(angle)) * (frequency * scale)
        total += torch.sin(along + phase * (index + 1) + 0.9 * torch.sin(along * 0.37 + 2 * phase))
    return 0.5 + total / 8


def _edge(value: Tensor, width: float) -> Tensor:
    """1 where the fractional part lies in the first `width` of its period, else 0."""
    return ((value - value.floor()) < width).float()


def _asphalt(x: Tensor, y: Tensor, phase: Tensor) -> Pattern:
    return (0.19, 0.20, 0.22), (0.37, 0.38, 0.40), _waves(x, y, phase, 12.0), 0.5


def _bricks(x: Tensor, y: Tensor, phase: Tensor) -> Pattern:
    row = (y * 2.6).floor()
    shifted = x * 1.3 + 0.5 * (row - 2 * (row / 2).floor())
    mortar = torch.maximum(_edge(shifted, 0.10), _edge(y * 2.6, 0.20))
    return (0.62, 0.29, 0.22), (0.80, 0.76, 0.70), mortar + 0.12 * (1 - mortar) * _waves(x, y, phase, 4.0), 0.31


def _cloth(x: Tensor, y: Tensor, phase: Tensor) -> Pattern:  # noqa: ARG001
    return (0.97, 0.95, 0.93), (0.78, 0.14, 0.20), 0.5 * (_edge(x * 1.1, 0.5) + _edge(y * 1.1, 0.5)), 0.5


def _grass(x: Tensor, y: Tensor, phase: Tensor) -> Pattern:
    return (0.16, 0.38, 0.10), (0.42, 0.64, 0.22), _waves(x, y, phase, 9.0), 0.5


def _marble(x: Tensor, y: Tensor, phase: Tensor) -> Pattern:
    vein = (_waves(x, y, phase, 3.0) - 0.5).abs()
    return (0.52, 0.53, 0.58), (0.93, 0.93, 0.92), (vein * 9).clamp(0, 1), 0.8


def _rug(x: Tensor, y: Tensor, phase: Tensor) -> Pattern:
    return (0.20, 0.30, 0.55), (0.93, 0.86, 0.66), _edge(x * 1.2 + phase / 7, 0.45) + 0 * y, 0.45


def _sand(x: Tensor, y: Tensor, phase: Tensor) -> Pattern:
    return (0.76, 0.63, 0.40), (0.92, 0.81, 0.59), _waves(x * 0.6, y * 1.6, phase, 7.0), 0.5


def _snow(x: Tensor, y: Tensor, phase: Tensor) -> Pattern:
    return (0.84, 0.89, 0.97), (0.98, 0.98, 1.0), _waves(x, y, phase, 3.5), 0.5


def _tiles(x: Tensor, y: Tensor, phase: Tensor) -> Pattern:
    joint = torch.maximum(_edge(x * 1.5, 0.11), _edge(y * 1.5, 0.11))
    return (0.30, 0.66, 0.74), (0.94, 0.95, 0.95), joint + 0.10 * (1 - joint) * _waves(x, y, phase, 3.0), 0.25


def _wood(x: Tensor, y: Tensor, phase: Tensor) -> Pattern:
    gap = _edge(y * 1.4, 0.06)
    grain = _waves(x * 0.35, y * 2.2 + 0.8 * (y * 1.4).floor(), phase, 6.0)
    return (0.36, 0.22, 0.12), (0.72, 0.50, 0.30), (1 - gap) * (0.45 + 0.55 * grain), 0.68
