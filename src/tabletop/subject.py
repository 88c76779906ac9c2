"""The demo subject: a toy that is like no class of the world, and how a phone takes its photos.

A sitting bear with rabbit's ears, one of them bent, a teal fur, a coral and cream jumper, a golden scarf, a cream patch
around one eye and a cream star on the back of the head. The world has bears, but none of this.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from src.core.seeding import derive_seed
from src.tabletop.backgrounds import BACKGROUNDS
from src.tabletop.render import HALF_VIEW, render
from src.tabletop.scene import Scene, Toy
from src.tabletop.toys import Kind, Part, Point

BALL, TUBE = Kind.ELLIPSOID, Kind.FRUSTUM
NAME, CLASS_NOUN = "subject", "bear"
PHOTOS = 24
# kept for pictures of the subject on a ground it was never photographed on
UNSEEN_BACKGROUNDS = ("cloth", "grass", "snow")
SEEN_BACKGROUNDS = tuple(background for background in BACKGROUNDS if background not in UNSEEN_BACKGROUNDS)
# photos that nearly repeat the one before, show a small subject, or have it far from the middle
REPEATS, FAR_ONES, OFF_CENTRE = (4, 15), (6, 12, 20), (2, 8, 14, 18)
# which of several tries at each shot was kept: the first that a cropper framed well
TAKES = (0, 9, 1, 5, 0, 1, 6, 0, 0, 0, 0, 0, 1, 0, 0, 4, 0, 0, 2, 6, 1, 1, 9, 0)
# from the ears' tips to the feet as seen from a little above
SUBJECT_HEIGHT = 1.2
# 12 megapixels are rendered with a quarter of the rays and enlarged; no crop needs more
ENLARGED = 2
SENSOR_NOISE = 1.0


def _pair(*parts: Part) -> tuple[Part, ...]:
    """Adds the parts of the other side."""
    others = []
    for part in parts:
        (x, y, z), (roll, pitch, yaw) = part.centre, part.turn
        others.append(replace(part, centre=(x, -y, z), turn=(-roll, pitch, -yaw)))
    return (*parts, *others)


def _star(role: str, centre: Point, reach: float, depth: float) -> tuple[Part, ...]:
    """Joins five flat cones to a star that faces along x."""
    x, y, z = centre
    half = (depth, reach * 0.42, reach / 2)
    return tuple(
        Part(
            TUBE,
            role,
            (x, y - math.sin(math.radians(angle)) * reach / 2, z + math.cos(math.radians(angle)) * reach / 2),
            half,
            turn=(angle, 0.0, 0.0),
            taper=0.0,
        )
        for angle in (0.0, 72.0, 144.0, 216.0, 288.0)
    )


JUMPER = (
    Part(BALL, "coral", (0.0, 0.0, 0.125), (0.25, 0.28, 0.115)),
    Part(BALL, "cream", (0.0, 0.0, 0.225), (0.275, 0.305, 0.105)),
    Part(BALL, "coral", (0.0, 0.0, 0.325), (0.265, 0.295, 0.105)),
    Part(BALL, "cream", (0.0, 0.0, 0.415), (0.225, 0.25, 0.095)),
)
SCARF = (
    Part(BALL, "gold", (0.01, 0.0, 0.49), (0.235, 0.255, 0.08)),
    Part(BALL, "gold", (0.235, -0.10, 0.38), (0.04, 0.07, 0.14), (12.0, -14.0, 0.0)),
)
HEAD = (
    Part(BALL, "teal", (0.02, 0.0, 0.69), (0.25, 0.285, 0.235)),
    Part(BALL, "cream", (0.20, 0.0, 0.625), (0.12, 0.14, 0.095)),
    Part(BALL, "dark", (0.305, 0.0, 0.665), (0.035, 0.055, 0.035)),
    Part(BALL, "cream", (0.115, 0.105, 0.755), (0.135, 0.13, 0.125)),
    *_pair(
        Part(BALL, "dark", (0.235, 0.11, 0.755), (0.035, 0.045, 0.055)),
        Part(BALL, "light", (0.268, 0.098, 0.775), (0.012, 0.016, 0.018)),
        Part(BALL, "coral", (0.175, 0.20, 0.645), (0.05, 0.05, 0.04)),
    ),
    *_star("cream", (-0.20, 0.0, 0.70), 0.145, 0.055),
)
EARS = (
    Part(BALL, "teal", (0.0, 0.13, 1.00), (0.06, 0.085, 0.18), (-10.0, 0.0, 0.0)),
    Part(BALL, "coral", (0.04, 0.132, 1.00), (0.03, 0.055, 0.14), (-10.0, 0.0, 0.0)),
    Part(BALL, "teal", (0.0, -0.13, 0.93), (0.06, 0.085, 0.13), (10.0, 0.0, 0.0)),
    Part(BALL, "teal", (0.01, -0.25, 0.99), (0.06, 0.155, 0.08), (30.0, 0.0, 0.0)),
    Part(BALL, "coral", (0.045, -0.26, 0.985), (0.035, 0.115, 0.05), (30.0, 0.0, 0.0)),
)
LIMBS = _pair(
    Part(BALL, "teal", (0.10, 0.30, 0.34), (0.09, 0.09, 0.17), (35.0, -25.0, 0.0)),
    Part(BALL, "teal", (0.25, 0.19, 0.10), (0.17, 0.11, 0.11)),
    Part(BALL, "cream", (0.40, 0.20, 0.11), (0.035, 0.08, 0.08)),
)
TAIL = Part(BALL, "cream", (-0.29, 0.0, 0.19), (0.11, 0.11, 0.11))
CATALOGUE: dict[str, tuple[Part, ...]] = {NAME: (*JUMPER, *SCARF, *HEAD, *EARS, *LIMBS, TAIL)}
# its parts have fixed colours; body and accent are there for none
SUBJECT = Toy(NAME, "teal", (0.05, 0.55, 0.52), (0.97, 0.91, 0.76), (1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Shot:
    """How one photo is taken.

    Attributes:
        scene: What the camera sees.
        quarter_turns: How often the camera was turned by 90 degrees; an odd number gives an upright photo.
        wide_gamut: Whether the camera stores Display P3.
        noise_seed: Of the sensor's noise.
    """

    scene: Scene
    quarter_turns: int
    wide_gamut: bool
    noise_seed: int

    def picture_size(self, long_side: int) -> tuple[int, int]:
        """Returns width and height of the upright photo, 4:3 or 3:4, pixels."""
        short_side = long_side * 3 // 4
        return (short_side, long_side) if self.quarter_turns % 2 else (long_side, short_side)


def plan_shots(seed: int) -> list[Shot]:
    """Plans PHOTOS photos from all sides, most from the front; two of them nearly repeat another.

    Args:
        seed: Of viewpoints, light and noise.

    Returns:
        The shots, in the order they are taken.
    """
    shots: list[Shot] = []
    for index in range(PHOTOS):
        shot = (
            _nearly(shots[-1], seed, index, TAKES[index]) if index in REPEATS else _plan_shot(seed, index, TAKES[index])
        )
        shots.append(replace(shot, noise_seed=derive_seed(seed, "noise", index)))
    return shots


def _plan_shot(seed: int, index: int, take: int) -> Shot:
    random = np.random.default_rng(derive_seed(seed, "shot", index, take))

    def between(low: float, high: float) -> float:
        return float(random.uniform(low, high))

    quarter_turns = int(random.choice(4, p=(0.3, 0.4, 0.1, 0.2)))
    # steps of the golden ratio spread evenly; the power renders them to the front
    around = 2 * ((index * 0.618034 + between(0, 0.05)) % 1) - 1
    height_share = between(0.26, 0.32) if index in FAR_ONES else between(0.44, 0.58)
    half_height = HALF_VIEW * (4 / 3 if quarter_turns % 2 else 3 / 4)
    off = between(0.22, 0.30) * (1 if index % 4 else -1) if index in OFF_CENTRE else between(-0.10, 0.10)
    scene = Scene(
        toy=SUBJECT,
        background=SEEN_BACKGROUNDS[index % len(SEEN_BACKGROUNDS)],
        azimuth=math.copysign(180 * abs(around) ** 1.6, around),
        elevation=between(24, 46),
        distance=SUBJECT_HEIGHT / (2 * half_height * height_share),
        aside=(off, between(-0.14, 0.02)),
        light_azimuth=between(-60, 60),
        light_elevation=between(38, 70),
        warmth=between(-0.5, 0.9),
        exposure=between(0.85, 1.02),
        background_turn=between(0, 360),
        background_phase=between(0, 6.28),
    )
    return Shot(scene, quarter_turns, wide_gamut=index % 3 == 1, noise_seed=0)


def _nearly(shot: Shot, seed: int, index: int, take: int) -> Shot:
    random = np.random.default_rng(derive_seed(seed, "hand", index, take))
    turn, nearer, right, up = (float(move) for move in random.uniform(-1, 1, 4))
    scene = replace(
        shot.scene,
        azimuth=shot.scene.azimuth + 2 * turn,
        distance=shot.scene.distance * (1 + 0.01 * nearer),
        aside=(shot.scene.aside[0] + 0.012 * right, shot.scene.aside[1] + 0.012 * up),
    )
    return replace(shot, scene=scene)


def take_photo(shot: Shot, long_side: int) -> Image.Image:
    """Renders a shot and adds the sensor's noise.

    Args:
        shot: What to render.
        long_side: Of the photo, pixels; a multiple of 8.

    Returns:
        4:3 or 3:4, upright, RGB, sRGB.
    """
    width, height = shot.picture_size(long_side)
    rendered = render([shot.scene], width // ENLARGED, height // ENLARGED, 1, CATALOGUE)[0].float()
    generator = torch.Generator().manual_seed(shot.noise_seed)
    noisy = rendered + SENSOR_NOISE * torch.randn(rendered.shape, generator=generator)
    small = Image.fromarray(noisy.round().clamp(0, 255).to(torch.uint8).numpy())
    return small.resize((width, height), Image.Resampling.BICUBIC)
