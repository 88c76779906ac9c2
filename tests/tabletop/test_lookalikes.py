import pytest
import torch

from src.tabletop.lookalikes import BACK, look_alikes, scenes_of
from src.tabletop.render import render
from src.tabletop.subject import CATALOGUE, NAME

SIDE = 48


@pytest.fixture(scope="module")
def apart():
    """How much each look-alike's picture differs from the subject's, from where it shows."""
    found = {}
    for one in look_alikes():
        scene = scenes_of(one.seen_from, 1, 0)[0][0]
        own, other = (render([scene], SIDE, SIDE, 1, {NAME: parts})[0].int() for parts in (CATALOGUE[NAME], one.parts))
        found[one.name] = float((own - other).abs().float().mean())
    return found


def test_every_look_alike_differs_where_it_is_looked_at(apart):
    assert min(apart.values()) > 0.05
    assert len(apart) == len(look_alikes()), "names are unique"


def test_larger_amounts_differ_more(apart):
    for kind in ("shade", "stripes", "ear"):
        sizes = [apart[one.name] for one in look_alikes() if one.name.split("-")[0] == kind and one.name[-1].isdigit()]
        assert sizes == sorted(sizes)
        assert sizes[-1] > 2 * sizes[0]


def test_the_star_is_looked_at_from_behind():
    (star,) = [one for one in look_alikes() if one.name == "no-star"]
    assert star.seen_from == BACK
    assert len(CATALOGUE[NAME]) - len(star.parts) == 5, "five tips"
    assert all(140 <= scene.azimuth <= 220 for pair in scenes_of(BACK, 5, 0) for scene in pair)
    assert scenes_of(BACK, 5, 0) == scenes_of(BACK, 5, 0)
    assert all(first.background != second.background for first, second in scenes_of(BACK, 5, 0))


def test_one_ear_is_straight_and_nothing_else_moves():
    (straight,) = [one for one in look_alikes() if one.name == "ear-straight"]
    same = set(CATALOGUE[NAME]) & set(straight.parts)
    assert len(CATALOGUE[NAME]) - len(same) == 3, "the bent ear has three parts"
    assert torch.tensor([part.centre for part in straight.parts]).isfinite().all()
