"""The toys of the world: each class is a list of ellipsoids, boxes and tapered cylinders that share one frame.

Units: a toy's longest side is about 1, and it stands on z = 0; its front faces +x. Roles say which colour a part takes.
"""

from dataclasses import dataclass
from enum import Enum

from src.tabletop.marks import Marks

Point = tuple[float, float, float]


class Kind(Enum):
    """The shape of a part, in its own frame.

    The ellipsoid and the box fill the cube [-1, 1]; a frustum has radius 1 at z = -1 and `Part.taper` at z = 1.
    """

    ELLIPSOID = 0
    BOX = 1
    FRUSTUM = 2


@dataclass(frozen=True)
class Part:
    """One convex solid.

    Attributes:
        kind: Its shape.
        role: ``body`` and ``accent`` take the toy's colours, a key of FIXED has its own, and so has ``#rrggbb``.
        centre: x y z.
        half: Half extents along its own axes.
        turn: Rotation about x, then y, then z, degrees.
        taper: Radius at the top of a frustum, as a share of the radius at its bottom: 0 cone, 1 cylinder, more widens.
        marks: What is painted on it.
    """

    kind: Kind
    role: str
    centre: Point
    half: Point
    turn: Point = (0.0, 0.0, 0.0)
    taper: float = 1.0
    marks: Marks | None = None


def _ball(role: str, centre: Point, radius: float) -> Part:
    return Part(Kind.ELLIPSOID, role, centre, (radius, radius, radius))


def _egg(role: str, centre: Point, x: float, y: float, z: float, turn: Point = (0.0, 0.0, 0.0)) -> Part:
    return Part(Kind.ELLIPSOID, role, centre, (x, y, z), turn)


def _box(role: str, centre: Point, x: float, y: float, z: float, turn: Point = (0.0, 0.0, 0.0)) -> Part:
    return Part(Kind.BOX, role, centre, (x, y, z), turn)


def _tube(
    role: str, centre: Point, radius: float, height: float, taper: float = 1.0, turn: Point = (0.0, 0.0, 0.0)
) -> Part:
    return Part(Kind.FRUSTUM, role, centre, (radius, radius, height), turn, taper)


def _mirrored(*parts: Part) -> list[Part]:
    both: list[Part] = []
    for part in parts:
        x, y, z = part.centre
        roll, pitch, yaw = part.turn
        both += [part, Part(part.kind, part.role, (x, -y, z), part.half, (-roll, pitch, -yaw), part.taper)]
    return both


def _wheels(radius: float, x: float, y: float) -> list[Part]:
    return _mirrored(
        *(_tube("dark", (side * x, y, radius), radius, 0.06, turn=(90.0, 0.0, 0.0)) for side in (-1.0, 1.0))
    )


CLASSES: dict[str, tuple[Part, ...]] = {
    "ball": (_ball("body", (0, 0, 0.42), 0.42), _tube("accent", (0, 0, 0.42), 0.428, 0.07, turn=(25.0, 20.0, 0.0))),
    "bear": (
        _egg("body", (0, 0, 0.36), 0.28, 0.31, 0.36),
        _egg("accent", (0.09, 0, 0.36), 0.22, 0.22, 0.26),
        _ball("body", (0.02, 0, 0.80), 0.25),
        _ball("accent", (0.22, 0, 0.75), 0.11),
        _ball("dark", (0.32, 0, 0.78), 0.04),
        *_mirrored(
            _ball("body", (0, 0.20, 1.0), 0.10),
            _ball("dark", (0.22, 0.10, 0.86), 0.04),
            _egg("body", (0.10, 0.31, 0.46), 0.11, 0.11, 0.20, turn=(30.0, 0.0, 0.0)),
            _egg("body", (0.24, 0.20, 0.13), 0.20, 0.13, 0.13),
        ),
    ),
    "boat": (
        Part(Kind.FRUSTUM, "body", (0, 0, 0.19), (0.40, 0.20, 0.19), taper=1.5),
        _tube("trunk", (0, 0, 0.66), 0.03, 0.36),
        _box("accent", (-0.24, 0, 0.70), 0.22, 0.02, 0.26, turn=(0.0, 0.0, 18.0)),
        _box("accent", (0.18, 0, 0.60), 0.15, 0.02, 0.17, turn=(0.0, 0.0, 18.0)),
    ),
    "car": (
        _box("body", (0, 0, 0.29), 0.52, 0.25, 0.14),
        _box("body", (-0.08, 0, 0.52), 0.27, 0.21, 0.12),
        _box("accent", (-0.08, 0, 0.52), 0.28, 0.17, 0.075),
        _box("accent", (-0.08, 0, 0.52), 0.20, 0.22, 0.075),
        *_mirrored(_ball("light", (0.51, 0.16, 0.31), 0.05)),
        *_wheels(0.14, 0.31, 0.24),
    ),
    "chair": (
        _box("body", (0, 0, 0.42), 0.29, 0.29, 0.05),
        _box("body", (-0.26, 0, 0.76), 0.045, 0.29, 0.30),
        _box("accent", (0.02, 0, 0.49), 0.22, 0.23, 0.035),
        *_mirrored(_tube("body", (0.24, 0.24, 0.19), 0.04, 0.19), _tube("body", (-0.24, 0.24, 0.19), 0.04, 0.19)),
    ),
    "dog": (
        _egg("body", (-0.06, 0, 0.42), 0.40, 0.18, 0.18),
        _ball("body", (0.34, 0, 0.68), 0.19),
        _egg("accent", (0.52, 0, 0.62), 0.13, 0.09, 0.09),
        _ball("dark", (0.64, 0, 0.65), 0.04),
        _egg("body", (-0.47, 0, 0.60), 0.05, 0.05, 0.17, turn=(0.0, -25.0, 0.0)),
        *_mirrored(
            _ball("dark", (0.49, 0.09, 0.75), 0.035),
            _egg("accent", (0.30, 0.19, 0.64), 0.08, 0.04, 0.16),
            _tube("body", (0.20, 0.11, 0.15), 0.07, 0.15),
            _tube("body", (-0.32, 0.11, 0.15), 0.07, 0.15),
        ),
    ),
    "duck": (
        _egg("body", (-0.05, 0, 0.30), 0.42, 0.30, 0.28),
        _ball("body", (0.24, 0, 0.70), 0.22),
        _egg("body", (-0.43, 0, 0.45), 0.14, 0.10, 0.08, turn=(0.0, 35.0, 0.0)),
        _egg("beak", (0.48, 0, 0.66), 0.13, 0.10, 0.045),
        *_mirrored(
            _ball("dark", (0.40, 0.10, 0.77), 0.04),
            _egg("accent", (-0.10, 0.27, 0.36), 0.24, 0.05, 0.14),
        ),
    ),
    "house": (
        _box("body", (0, 0, 0.30), 0.38, 0.32, 0.30),
        _box("accent", (0, 0.19, 0.74), 0.43, 0.27, 0.035, turn=(-40.0, 0.0, 0.0)),
        _box("accent", (0, -0.19, 0.74), 0.43, 0.27, 0.035, turn=(40.0, 0.0, 0.0)),
        _box("body", (0, 0, 0.62), 0.36, 0.20, 0.12),
        _box("dark", (0.38, 0, 0.20), 0.012, 0.09, 0.20),
        *_mirrored(_box("light", (0.0, 0.32, 0.34), 0.14, 0.012, 0.10)),
    ),
    "lamp": (
        _tube("accent", (0, 0, 0.04), 0.27, 0.04),
        _tube("accent", (0, 0, 0.34), 0.045, 0.32),
        _tube("body", (0, 0, 0.80), 0.36, 0.22, taper=0.5),
    ),
    "mug": (
        _tube("body", (0, 0, 0.40), 0.33, 0.40),
        _tube("dark", (0, 0, 0.785), 0.28, 0.03),
        _tube("accent", (0, 0, 0.12), 0.335, 0.05),
        _box("body", (0, 0.47, 0.58), 0.05, 0.16, 0.05),
        _box("body", (0, 0.47, 0.26), 0.05, 0.16, 0.05),
        _box("body", (0, 0.58, 0.42), 0.05, 0.05, 0.20),
    ),
    "mushroom": (
        _tube("light", (0, 0, 0.26), 0.19, 0.26, taper=0.75),
        _egg("body", (0, 0, 0.58), 0.46, 0.46, 0.30),
        _tube("accent", (0, 0, 0.53), 0.40, 0.04, taper=1.1),
        *(
            _ball("light", (x, y, z), 0.09)
            for x, y, z in ((0.0, 0.0, 0.86), (0.30, 0.12, 0.76), (-0.22, 0.26, 0.76), (-0.15, -0.32, 0.75))
        ),
    ),
    "robot": (
        _box("body", (0, 0, 0.46), 0.19, 0.26, 0.24),
        _box("body", (0, 0, 0.86), 0.16, 0.19, 0.14),
        _box("accent", (0.19, 0, 0.48), 0.012, 0.16, 0.12),
        _tube("dark", (0, 0, 1.06), 0.022, 0.08),
        _ball("accent", (0, 0, 1.16), 0.055),
        *_mirrored(
            _ball("light", (0.16, 0.08, 0.89), 0.05),
            _box("accent", (0, 0.33, 0.46), 0.08, 0.06, 0.22),
            _box("body", (0, 0.13, 0.11), 0.11, 0.09, 0.12),
        ),
    ),
    "rocket": (
        _tube("body", (0, 0, 0.52), 0.22, 0.36),
        _tube("accent", (0, 0, 1.04), 0.22, 0.17, taper=0.0),
        _tube("dark", (0, 0, 0.10), 0.13, 0.08, taper=1.2),
        _ball("light", (0.19, 0, 0.66), 0.08),
        *(
            _box("accent", (x * 0.26, y * 0.26, 0.22), 0.03 + 0.13 * abs(x), 0.03 + 0.13 * abs(y), 0.17)
            for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1))
        ),
    ),
    "tree": (
        _tube("trunk", (0, 0, 0.14), 0.09, 0.14),
        _tube("body", (0, 0, 0.46), 0.42, 0.20, taper=0.35),
        _tube("body", (0, 0, 0.72), 0.33, 0.19, taper=0.3),
        _tube("body", (0, 0, 0.97), 0.23, 0.18, taper=0.0),
        _ball("accent", (0, 0, 1.16), 0.07),
    ),
}

# sRGB in [0, 1]
COLOURS: dict[str, Point] = {
    "red": (0.80, 0.08, 0.08),
    "orange": (0.95, 0.45, 0.05),
    "yellow": (0.95, 0.82, 0.10),
    "green": (0.10, 0.55, 0.18),
    "cyan": (0.15, 0.75, 0.80),
    "blue": (0.10, 0.22, 0.75),
    "purple": (0.48, 0.16, 0.66),
    "pink": (0.96, 0.50, 0.68),
    "white": (0.93, 0.93, 0.92),
    "black": (0.09, 0.09, 0.10),
}
FIXED: dict[str, Point] = {
    "dark": (0.06, 0.06, 0.07),
    "light": (0.95, 0.93, 0.88),
    "trunk": (0.42, 0.27, 0.15),
    "beak": (0.95, 0.50, 0.08),
    "teal": (0.05, 0.55, 0.52),
    "cream": (0.97, 0.91, 0.76),
    "coral": (0.97, 0.38, 0.28),
    "gold": (0.98, 0.76, 0.12),
}
