"""What a picture of the world shows: a toy, what it stands on, and how it is photographed."""

import colorsys
import itertools
from dataclasses import dataclass

import numpy as np

from src.core.seeding import derive_seed
from src.tabletop.backgrounds import BACKGROUNDS
from src.tabletop.toys import CLASSES, COLOURS

Triple = tuple[str, str, str]
HELD_OUT = 200


@dataclass(frozen=True)
class Toy:
    """One individual.

    Attributes:
        name: Its class, a key of CLASSES.
        colour: Of its body, a key of COLOURS.
        body: sRGB in [0, 1], a shade of the colour.
        accent: sRGB in [0, 1].
        scale: Of x, y and z, around 1.
    """

    name: str
    colour: str
    body: tuple[float, float, float]
    accent: tuple[float, float, float]
    scale: tuple[float, float, float]


@dataclass(frozen=True)
class Scene:
    """One picture.

    Attributes:
        toy: Who stands there.
        background: A member of BACKGROUNDS.
        azimuth: Of the camera around the toy, degrees; 0 sees its front.
        elevation: Of the camera above the ground, degrees.
        distance: Of the camera from the toy, toy heights.
        aside: Where the toy's middle lies, in half picture widths right and up from the centre.
        light_azimuth: Of the light relative to the camera, degrees.
        light_elevation: Degrees.
        warmth: Of the light, in [-1, 1]: blue to yellow.
        exposure: Factor on all light.
        background_turn: Of the texture, degrees.
        background_phase: Which piece of the ground, in [0, 2 pi).
    """

    toy: Toy
    background: str
    azimuth: float
    elevation: float
    distance: float
    aside: tuple[float, float]
    light_azimuth: float
    light_elevation: float
    warmth: float
    exposure: float
    background_turn: float
    background_phase: float


def triples(seed: int) -> tuple[list[Triple], list[Triple]]:
    """Splits all combinations of class, colour and background.

    Args:
        seed: Of the split.

    Returns:
        Those that training may show, and HELD_OUT that it never does; each sorted.
    """
    every = list(itertools.product(sorted(CLASSES), sorted(COLOURS), BACKGROUNDS))
    ranked = sorted(every, key=lambda triple: derive_seed(seed, "held out", *triple))
    return sorted(ranked[HELD_OUT:]), sorted(ranked[:HELD_OUT])


def sample_toy(name: str, colour: str, seed: int) -> Toy:
    """Renders an individual of a class and colour; the same arguments give the same toy."""
    random = np.random.default_rng(derive_seed(seed, "toy"))
    hue, lightness, saturation = colorsys.rgb_to_hls(*COLOURS[colour])
    body = colorsys.hls_to_rgb(
        (hue + random.uniform(-0.012, 0.012)) % 1,
        float(np.clip(lightness * random.uniform(0.9, 1.1), 0.05, 0.96)),
        float(np.clip(saturation * random.uniform(0.9, 1.05), 0, 1)),
    )
    accent = colorsys.hls_to_rgb(random.uniform(), random.uniform(0.25, 0.85), random.uniform(0.1, 0.8))
    scale = random.uniform(0.88, 1.12, 3)
    return Toy(name, colour, body, accent, (float(scale[0]), float(scale[1]), float(scale[2])))


def sample_scene(toy: Toy, background: str, seed: int) -> Scene:
    """Renders how a toy is photographed; the same arguments give the same scene."""
    random = np.random.default_rng(derive_seed(seed, "scene"))

    def between(low: float, high: float) -> float:
        return float(random.uniform(low, high))

    return Scene(
        toy=toy,
        background=background,
        azimuth=between(-180, 180),
        elevation=between(18, 48),
        distance=between(2.8, 3.8),
        aside=(between(-0.14, 0.14), between(-0.10, 0.10)),
        **sample_surroundings(random),
    )


def sample_surroundings(random: np.random.Generator) -> dict[str, float]:
    """Renders the light and how the ground lies.

    Args:
        random: Six numbers are taken from it.

    Returns:
        The fields of `Scene` from ``light_azimuth`` on.
    """

    def between(low: float, high: float) -> float:
        return float(random.uniform(low, high))

    return {
        "light_azimuth": between(-75, 75),
        "light_elevation": between(35, 70),
        "warmth": between(-0.6, 1.0),
        "exposure": between(0.8, 1.04),
        "background_turn": between(0, 360),
        "background_phase": between(0, 6.28),
    }
