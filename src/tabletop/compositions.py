"""Toys that nobody planned: random solids in random colours with random marks, for an autoencoder for anything.

The world's classes are a special case: some compositions are one of its toys, painted anew.
"""

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from src.core.files import sha256_bytes
from src.core.provenance import code_digest
from src.core.sealed import read_sealed
from src.core.seeding import derive_seed
from src.tabletop.backgrounds import BACKGROUNDS
from src.tabletop.marks import Marks, Pattern
from src.tabletop.render import render
from src.tabletop.scene import Scene, Toy, sample_surroundings
from src.tabletop.toys import CLASSES, Kind, Part, Point
from src.tabletop.world import SHARD, read_shard, render_in_shards, write_array, write_shard

Choice = TypeVar("Choice")
NAME = "composition"
# share of compositions that are a toy of the world in other colours
CLASS_SHARE = 0.35
KINDS = (Kind.ELLIPSOID, Kind.ELLIPSOID, Kind.ELLIPSOID, Kind.BOX, Kind.FRUSTUM)


@dataclass(frozen=True)
class Composition:
    """One picture and the toy on it.

    Attributes:
        scene: How it is photographed.
        parts: What stands there.
    """

    scene: Scene
    parts: tuple[Part, ...]


def plan_composition(seed: int) -> Composition:
    """Renders a toy and how it is photographed; the same seed gives the same picture."""
    random = np.random.default_rng(derive_seed(seed, "composition"))
    palette = [_colour(random) for _ in range(int(random.integers(3, 7)))]
    parts = _repainted(random, palette) if random.uniform() < CLASS_SHARE else _assembled(random, palette)
    return Composition(_scene(random), tuple(_painted(random, part, palette) for part in parts))


def render_compositions(folder: Path, cache: Path, count: int, resolution: int, oversampling: int, seed: int) -> None:
    """Renders pictures with all processors; shards that an interrupted run rendered are not rendered again.

    Args:
        folder: Gets IMAGES, (count, resolution, resolution, 3), uint8.
        cache: Where finished shards stay; see `draw_world`.
        count: How many.
        resolution: Side, pixels.
        oversampling: Rays per pixel side.
        seed: Of all of them.
    """
    how = f"{code_digest('src.tabletop.compositions')} {resolution} {oversampling} {seed}"
    size = SHARD["cpu"]
    tasks = []
    for first in range(0, count, size):
        numbers = range(first, min(first + size, count))
        file = cache / f"{sha256_bytes(f'{how} {numbers}'.encode())}.npy"
        tasks.append((file, _Shard(numbers, resolution, oversampling, seed)))
    render_in_shards([task for task in tasks if read_sealed(task[0]) is None], render_shard)
    write_array(folder / "images.npy", np.concatenate([read_shard(file) for file, _ in tasks]))


@dataclass(frozen=True)
class _Shard:
    numbers: range
    resolution: int
    oversampling: int
    seed: int


def render_shard(task: tuple[Path, _Shard]) -> None:
    """Renders and writes one shard."""
    file, shard = task
    pictures = []
    for number in shard.numbers:
        planned = plan_composition(derive_seed(shard.seed, "number", number))
        side, catalogue = shard.resolution, {NAME: planned.parts}
        pictures.append(render([planned.scene], side, side, shard.oversampling, catalogue)[0])
    write_shard(file, torch.stack(pictures).numpy())


def _one_of(random: np.random.Generator, choices: Sequence[Choice]) -> Choice:
    return choices[int(random.integers(len(choices)))]


def _colour(random: np.random.Generator) -> Point:
    lightness = random.uniform(0.04, 0.96) if random.uniform() < 0.7 else random.choice([0.06, 0.93])
    return colorsys.hls_to_rgb(random.uniform(), float(lightness), float(random.uniform(0, 1)))


def _hex(colour: Point) -> str:
    return "#" + "".join(f"{round(255 * value):02x}" for value in colour)


def _repainted(random: np.random.Generator, palette: Sequence[Point]) -> list[Part]:
    parts = CLASSES[_one_of(random, sorted(CLASSES))]
    colours = {role: _hex(_one_of(random, palette)) for role in sorted({part.role for part in parts})}
    return [replace(part, role=colours[part.role]) for part in parts]


def _assembled(random: np.random.Generator, palette: Sequence[Point]) -> list[Part]:
    """Puts one to four large solids upon each other, and small ones, single or in pairs, on their surfaces."""
    parts: list[Part] = []
    top = 0.0
    for _ in range(int(random.integers(1, 5))):
        half = random.uniform(0.10, 0.36, 3)
        centre = (float(random.uniform(-0.12, 0.12)), float(random.uniform(-0.12, 0.12)), float(top + half[2] * 0.9))
        parts.append(_part(random, centre, half, palette))
        top = min(top + 1.4 * float(half[2]), 0.75)
    for _ in range(int(random.integers(2, 11))):
        host = _one_of(random, parts)
        way = random.normal((0.6, 0.0, 0.2))
        way /= np.linalg.norm(way)
        x, y, z = (float(c + w * h) for c, w, h in zip(host.centre, way, host.half, strict=True))
        part = _part(random, (x, y, z), random.uniform(0.015, 0.15, 3), palette)
        parts.append(part)
        if random.uniform() < 0.5:
            roll, pitch, yaw = part.turn
            parts.append(replace(part, centre=(x, -y, z), turn=(-roll, pitch, -yaw)))
    return parts


def _part(random: np.random.Generator, centre: Point, half: np.ndarray, palette: Sequence[Point]) -> Part:
    turn = random.uniform(-60, 60, 3) * (random.uniform() < 0.6)
    return Part(
        _one_of(random, KINDS),
        _hex(_one_of(random, palette)),
        centre,
        (float(half[0]), float(half[1]), float(half[2])),
        (float(turn[0]), float(turn[1]), float(turn[2])),
        float(random.choice([0.0, 0.5, 1.0, 1.4])),
    )


def _painted(random: np.random.Generator, part: Part, palette: Sequence[Point]) -> Part:
    if random.uniform() > (0.55 if max(part.half) > 0.12 else 0.12):
        return part
    pattern = _one_of(random, list(Pattern))
    towards = random.normal((0.8, 0.0, 0.3))
    towards /= np.linalg.norm(towards)
    whole = pattern in (Pattern.STRIPES, Pattern.CHECKER, Pattern.DOTS, Pattern.NOISE)
    size = random.uniform(0.25, 1.0) if whole else random.uniform(0.25, 0.8)
    marks = Marks(
        pattern,
        _one_of(random, palette),
        (float(towards[0]), float(towards[1]), float(towards[2])),
        float(size),
        float(random.uniform(0, 2 * math.pi)),
    )
    return replace(part, marks=marks)


def _scene(random: np.random.Generator) -> Scene:
    def between(low: float, high: float) -> float:
        return float(random.uniform(low, high))

    white = (1.0, 1.0, 1.0)
    return Scene(
        toy=Toy(NAME, "any", white, white, (between(0.8, 1.2), between(0.8, 1.2), between(0.8, 1.2))),
        background=_one_of(random, BACKGROUNDS),
        azimuth=between(-180, 180),
        elevation=between(15, 55),
        distance=between(1.8, 3.8),
        aside=(between(-0.25, 0.25), between(-0.2, 0.15)),
        **sample_surroundings(random),
    )
