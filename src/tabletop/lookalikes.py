"""Toys that differ from the demo subject by known amounts: what a metric has to tell from it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from src.core.seeding import derive_seed
from src.tabletop.backgrounds import BACKGROUNDS
from src.tabletop.scene import Scene, sample_scene
from src.tabletop.subject import CATALOGUE, EARS, JUMPER, NAME, SCARF, SUBJECT
from src.tabletop.toys import FIXED, Part

# what another shade mixes the fur with
BLUE = (0.10, 0.22, 0.75)
FRONT, BACK = 0.0, 180.0


@dataclass(frozen=True)
class Lookalike:
    """One toy that is nearly the subject.

    Attributes:
        name: Of folders and tables.
        difference: What differs.
        amount: How much, the larger the easier, in its own unit.
        parts: Of the toy.
        seen_from: Azimuth from which the difference shows, degrees.
    """

    name: str
    difference: str
    amount: str
    parts: tuple[Part, ...]
    seen_from: float


def look_alikes() -> list[Lookalike]:
    """Returns them all, of each kind from the smallest difference to the largest."""
    subject = CATALOGUE[NAME]
    found = [
        Lookalike(_named("shade", share), "fur mixed with blue", f"{share:.0%}", _shaded(subject, share), FRONT)
        for share in (0.1, 0.2, 0.4, 0.8)
    ]
    found += [
        Lookalike(
            f"stripes-{count}",
            "stripes of the jumper in the fur's colour",
            f"{count} of 4",
            _painted(subject, JUMPER[4 - count :], "teal"),
            FRONT,
        )
        for count in (1, 2, 4)
    ]
    found += [
        Lookalike(_named("ear", share), "both ears longer", f"{share - 1:.0%}", _longer_ears(subject, share), FRONT)
        for share in (1.1, 1.25, 1.5)
    ]
    straight = (*(part for part in subject if part not in EARS), *EARS[:2], *map(_mirrored, EARS[:2]))
    return [
        *found,
        Lookalike("ear-straight", "the bent ear straight", "one ear", straight, FRONT),
        Lookalike(
            "no-patch",
            "no patch around the eye",
            "one patch",
            tuple(part for part in subject if not _is_patch(part)),
            FRONT,
        ),
        Lookalike(
            "scarf-teal",
            "scarf in the fur's colour",
            "one scarf",
            _painted(subject, SCARF, "teal"),
            FRONT,
        ),
        Lookalike(
            "no-star", "no star at the back", "one star", tuple(part for part in subject if not _is_star(part)), BACK
        ),
    ]


def _named(kind: str, share: float) -> str:
    return f"{kind}-{round(100 * share)}"


def scenes_of(seen_from: float, count: int, seed: int) -> list[tuple[Scene, Scene]]:
    """Plans pairs of pictures of one toy from about one side, on two backgrounds.

    Args:
        seen_from: Azimuth, degrees; both differ from it by up to 40.
        count: Pairs.
        seed: Of the scenes.

    Returns:
        The pairs; the same arguments give the same ones.
    """
    pairs = []
    for number in range(count):
        random = np.random.default_rng(derive_seed(seed, "look-alike", int(seen_from), number))
        first, second = (
            replace(
                sample_scene(
                    SUBJECT, BACKGROUNDS[(number + 3 * view) % len(BACKGROUNDS)], derive_seed(seed, number, view)
                ),
                azimuth=seen_from + float(random.uniform(-40, 40)),
            )
            for view in range(2)
        )
        pairs.append((first, second))
    return pairs


def _shaded(parts: Sequence[Part], share: float) -> tuple[Part, ...]:
    teal = FIXED["teal"]
    mixed = tuple((1 - share) * own + share * other for own, other in zip(teal, BLUE, strict=True))
    return tuple(replace(part, role=_hex(mixed)) if part.role == "teal" else part for part in parts)


def _hex(colour: Sequence[float]) -> str:
    return "#" + "".join(f"{round(255 * value):02x}" for value in colour)


def _painted(parts: Sequence[Part], chosen: Sequence[Part], role: str) -> tuple[Part, ...]:
    return tuple(replace(part, role=role) if part in chosen else part for part in parts)


def _longer_ears(parts: Sequence[Part], share: float) -> tuple[Part, ...]:
    def longer(part: Part) -> Part:
        (x, y, z), (a, b, c) = part.centre, part.half
        # the lower end stays
        return replace(part, centre=(x, y, z + c * (share - 1)), half=(a, b, c * share))

    return tuple(longer(part) if part in EARS else part for part in parts)


def _mirrored(part: Part) -> Part:
    (x, y, z), (roll, pitch, yaw) = part.centre, part.turn
    return replace(part, centre=(x, -y, z), turn=(-roll, pitch, -yaw))


def _is_patch(part: Part) -> bool:
    return part.role == "cream" and math.dist(part.centre, (0.115, 0.105, 0.755)) < 1e-6


def _is_star(part: Part) -> bool:
    return part.role == "cream" and part.taper == 0.0
