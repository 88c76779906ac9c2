import itertools
import math

import pytest
import torch

from src.tabletop.geometry import place
from src.tabletop.toys import CLASSES, COLOURS, FIXED


def corners(name):
    """The corners of every part's cube in the world, (P, 8, 3)."""
    parts = CLASSES[name]
    solids = place(parts, torch.ones(1, 3))
    cube = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)))
    frames = torch.linalg.inv(solids.to_local[0])
    return torch.einsum("pij,cj->pci", frames, cube) + solids.centre[0][:, None]


def test_toys_are_as_many_as_the_world_promises():
    assert len(CLASSES) >= 12
    assert len(COLOURS) == 10


@pytest.mark.parametrize("name", CLASSES)
def test_toys_have_a_body_and_known_roles(name):
    roles = {part.role for part in CLASSES[name]}
    assert "body" in roles
    assert roles <= {"body", "accent", *FIXED}
    for part in CLASSES[name]:
        assert min(part.half) > 0
        assert part.taper >= 0


@pytest.mark.parametrize("name", CLASSES)
def test_toys_stand_on_the_ground_and_are_about_as_large_as_the_unit(name):
    low, high = corners(name).amin((0, 1)), corners(name).amax((0, 1))
    assert abs(float(low[2])) < 0.025
    assert 0.8 < float((high - low).max()) < 1.3
    assert max(float(-low[:2].min()), float(high[:2].max())) < 0.7


@pytest.mark.parametrize("name", ["bear", "car", "chair", "dog", "duck", "house", "robot"])
def test_toys_are_the_same_on_both_sides(name):
    def key(part, mirror):
        y, roll, yaw = part.centre[1] * mirror, part.turn[0] * mirror, part.turn[2] * mirror
        turn = tuple((angle + 0.0) % 180 for angle in (roll, part.turn[1], yaw))
        return part.kind.value, part.role, (part.centre[0], y + 0.0, part.centre[2]), part.half, turn, part.taper

    assert sorted(key(part, 1) for part in CLASSES[name]) == sorted(key(part, -1) for part in CLASSES[name])


def test_toy_colours_can_be_told_apart():
    pairs = itertools.combinations({**COLOURS}.values(), 2)
    assert min(math.dist(first, second) for first, second in pairs) > 0.25
    assert all(0 <= level <= 1 for colour in {**COLOURS, **FIXED}.values() for level in colour)
