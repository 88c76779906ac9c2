import itertools
import math

import pytest

from src.tabletop.backgrounds import BACKGROUNDS
from src.tabletop.scene import HELD_OUT, sample_scene, sample_toy, triples
from src.tabletop.toys import CLASSES, COLOURS


def test_triples_split_all_combinations():
    shown, held_out = triples(3)
    assert len(held_out) == HELD_OUT == 200
    assert not set(shown) & set(held_out)
    assert {*shown, *held_out} == set(itertools.product(CLASSES, COLOURS, BACKGROUNDS))
    assert shown == sorted(shown)
    assert held_out == sorted(held_out)


def test_triples_depend_on_the_seed_alone():
    assert triples(3) == triples(3)
    assert triples(3)[1] != triples(4)[1]


def test_triples_leave_every_word_on_both_sides():
    for side in triples(42):
        for position, words in enumerate((CLASSES, COLOURS, BACKGROUNDS)):
            assert {triple[position] for triple in side} == set(words)


def test_triples_leave_every_toy_a_choice_of_grounds():
    for seed in range(5):
        left = [(name, colour) for name, colour, _ in triples(seed)[0]]
        assert min(left.count(pair) for pair in itertools.product(CLASSES, COLOURS)) >= 2


def test_sample_toy_and_sample_scene_depend_on_their_arguments_alone():
    toy = sample_toy("car", "red", 5)
    assert toy == sample_toy("car", "red", 5)
    assert toy != sample_toy("car", "red", 6)
    assert sample_scene(toy, "grass", 1) == sample_scene(toy, "grass", 1)
    assert sample_scene(toy, "grass", 1) != sample_scene(toy, "grass", 2)
    assert sample_scene(toy, "grass", 1).toy is toy


@pytest.mark.parametrize("colour", COLOURS)
def test_sample_toy_stays_nearest_to_its_colour(colour):
    for seed in range(100):
        toy = sample_toy("car", colour, seed)
        distances = {name: math.dist(toy.body, shade) for name, shade in COLOURS.items()}
        assert min(distances, key=distances.get) == colour
        assert all(0 <= level <= 1 for level in (*toy.body, *toy.accent))
        assert all(0.88 <= factor <= 1.12 for factor in toy.scale)


def test_sample_scene_varies_everything():
    toy = sample_toy("car", "red", 0)
    scenes = [sample_scene(toy, "grass", seed) for seed in range(400)]
    ranges = {
        "azimuth": (-180, 180),
        "elevation": (18, 48),
        "distance": (2.8, 3.8),
        "light_azimuth": (-75, 75),
        "light_elevation": (35, 70),
        "warmth": (-0.6, 1.0),
        "exposure": (0.8, 1.04),
        "background_turn": (0, 360),
        "background_phase": (0, 6.28),
    }
    for name, (low, high) in ranges.items():
        values = [getattr(scene, name) for scene in scenes]
        assert low <= min(values) < low + 0.05 * (high - low), name
        assert high - 0.05 * (high - low) < max(values) <= high, name
