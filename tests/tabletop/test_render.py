import dataclasses
import math

import numpy as np
import pytest
import torch

from src.tabletop import render as module
from src.tabletop.render import AIM_HEIGHT, GAMMA, HALF_VIEW, cover, render
from src.tabletop.scene import Scene, Toy, sample_scene, sample_toy
from src.tabletop.toys import CLASSES, Kind, Part
from src.tabletop.world import plan_world

RED, BLUE = (0.9, 0.05, 0.05), (0.05, 0.05, 0.9)
RADIUS = 0.3
TOY = Toy("ball", "red", RED, BLUE, (1.0, 1.0, 1.0))
SCENE = Scene(TOY, "snow", 0.0, 30.0, 3.3, (0.0, 0.0), 0.0, 50.0, 0.0, 0.9, 0.0, 1.0)
BALL = {"ball": (Part(Kind.ELLIPSOID, "body", (0, 0, AIM_HEIGHT), (RADIUS, RADIUS, RADIUS)),)}
NOTHING = {"ball": (Part(Kind.ELLIPSOID, "body", (0, 0, -9), (0.1, 0.1, 0.1)),)}


def sample(catalogue=BALL, side=64, oversampling=1, **changes):
    """One picture, (side, side, 3), floats in [0, 255]."""
    scene = dataclasses.replace(SCENE, **changes)
    return render([scene], side, side, oversampling, catalogue)[0].numpy().astype(float)


def is_red(picture):
    return picture[..., 0] > 2 * picture[..., 2]


def is_blue(picture):
    return picture[..., 2] > 2 * picture[..., 0]


def middle(mask):
    """The mean column and row of a mask, pixels from the upper left corner."""
    rows, columns = mask.nonzero()
    return columns.mean() + 0.5, rows.mean() + 0.5


@pytest.fixture(scope="module")
def scenes():
    return plan_world("train", 12, 7)


@pytest.fixture(scope="module")
def pictures(scenes):
    return render(scenes, 48, 48, 2)


def test_render_gives_bytes_of_the_asked_size(scenes):
    assert render(scenes[:1], 40, 24, 1).shape == (1, 24, 40, 3)
    assert render(scenes[:1], 40, 24, 1).dtype == torch.uint8
    assert render([], 40, 24, 1).shape == (0, 24, 40, 3)


def test_render_gives_the_same_bytes_however_scenes_are_grouped(scenes, pictures):
    assert torch.equal(render(scenes, 48, 48, 2), pictures)
    assert torch.equal(render(scenes[::-1], 48, 48, 2).flip(0), pictures)
    assert torch.equal(torch.cat([render([scene], 48, 48, 2) for scene in scenes]), pictures)


def test_render_gives_the_same_bytes_with_any_number_of_threads(scenes, pictures):
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert torch.equal(render(scenes[:2], 48, 48, 2), pictures[:2])
    finally:
        torch.set_num_threads(before)


def test_render_differs_from_scene_to_scene(pictures):
    assert len({picture.numpy().tobytes() for picture in pictures}) == len(pictures)


def test_render_in_one_piece_is_render_in_strips(scenes, monkeypatch):
    strips = render(scenes, 48, 48, 2)
    monkeypatch.setattr(module, "RAYS_AT_ONCE", 10**9)
    assert int((render(scenes, 48, 48, 2).int() - strips.int()).abs().max()) <= 1


def test_scenes_rendered_together_look_as_they_do_alone(scenes):
    toy = scenes[0].toy
    alike = [sample_scene(toy, "sand", number) for number in range(5)] + scenes
    alone, together = render(alike, 32, 32, 2).int(), render(alike, 32, 32, 2, at_once=3).int()
    # another order of summation may round a pixel otherwise, and now and then a ray misses an edge
    assert float((alone - together).abs().float().mean()) < 0.01
    assert torch.equal(cover(alike, 32), cover(alike, 32, at_once=3))


@pytest.mark.parametrize("name", CLASSES)
def test_render_shows_every_class_whole(name):
    scene = sample_scene(sample_toy(name, "cyan", 3), "asphalt", 5)
    with_toy = render([scene], 64, 64, 1)[0].int()
    without = render([scene], 64, 64, 1, {name: NOTHING["ball"]})[0].int()
    changed = ((with_toy - without).abs().amax(-1) > 12).numpy()
    assert 0.03 < changed.mean() < 0.6
    assert not changed[0].any()


@pytest.mark.parametrize("aside", [(0.0, 0.0), (0.14, -0.10), (-0.3, 0.4)])
@pytest.mark.parametrize("azimuth", [0.0, 77.0, -150.0])
def test_render_puts_the_toy_where_projection_says(aside, azimuth):
    picture = sample(aside=aside, azimuth=azimuth, side=128)
    across, down = middle(is_red(picture))
    # a ball beside the middle is rendered as an ellipse whose centre lies a little farther out
    assert across == pytest.approx(64 * (1 + aside[0]), abs=0.8)
    assert down == pytest.approx(64 * (1 - aside[1]), abs=0.8)


@pytest.mark.parametrize("distance", [2.8, 3.8])
def test_render_renders_a_ball_of_the_right_size(distance):
    share = is_red(sample(distance=distance, side=128)).mean()
    radius = math.tan(math.asin(RADIUS / distance)) / HALF_VIEW
    assert share == pytest.approx(math.pi * radius**2 / 4, rel=0.03)


def test_render_keeps_the_scale_of_its_width():
    wide = is_red(render([SCENE], 96, 48, 1, BALL)[0].numpy().astype(float))
    square = is_red(sample(side=96))
    assert wide.sum() == pytest.approx(square.sum(), rel=0.02)
    assert middle(wide) == pytest.approx((48, 24), abs=0.3)


def test_render_sees_the_front_at_azimuth_zero_and_the_left_side_at_ninety():
    half = (0.2, 0.2, 0.2)
    sides = {
        "ball": (
            Part(Kind.ELLIPSOID, "body", (0.25, 0, AIM_HEIGHT), half),
            Part(Kind.ELLIPSOID, "accent", (-0.25, 0, AIM_HEIGHT), half),
        )
    }
    areas = [
        (is_red(picture).sum(), is_blue(picture).sum())
        for picture in (sample(sides, azimuth=azimuth, elevation=18.0) for azimuth in (0.0, 90.0, 180.0))
    ]
    assert areas[0][0] > 3 * areas[0][1]
    assert areas[1][0] == pytest.approx(areas[1][1], rel=0.1)
    assert areas[2][1] > 3 * areas[2][0]
    beside = sample(sides, azimuth=90.0)
    # from +y the front, +x, lies on the left
    assert middle(is_red(beside))[0] < 28 < 36 < middle(is_blue(beside))[0]


def test_render_is_not_mirrored():
    left = {"ball": (Part(Kind.ELLIPSOID, "body", (0, -0.3, AIM_HEIGHT), (0.15, 0.15, 0.15)),)}
    assert middle(is_red(sample(left)))[0] < 24


@pytest.mark.parametrize("azimuth", [0.0, 130.0])
def test_render_casts_the_shadow_away_from_the_light(azimuth):
    def shadow(light_azimuth):
        changes = {"azimuth": azimuth, "light_azimuth": light_azimuth, "light_elevation": 40.0}
        with_toy, without = sample(**changes), sample(NOTHING, **changes)
        return (with_toy.sum(-1) < 0.8 * without.sum(-1)) & ~is_red(with_toy)

    right, front, left = (shadow(angle) for angle in (75.0, 0.0, -75.0))
    assert min(right.sum(), left.sum()) > 200
    assert middle(right)[0] < 26
    assert middle(left)[0] > 38
    # with the light behind the camera the ball hides its shadow but for a rim on both sides of its foot
    assert front.sum() < 40
    assert middle(front)[0] == pytest.approx(32, abs=0.5)


def test_render_shadow_lies_where_the_light_ray_meets_the_ground():
    picture, without = (sample(parts, light_azimuth=60.0, light_elevation=45.0, side=128) for parts in (BALL, NOTHING))
    shadow = (picture.sum(-1) < 0.8 * without.sum(-1)) & ~is_red(picture)
    # the ball's centre, moved along the light to z = 0
    background = -AIM_HEIGHT * np.array([math.cos(math.radians(60)), math.sin(math.radians(60)), 0])
    turn = math.radians(SCENE.elevation)
    back, right = np.array([math.cos(turn), 0, math.sin(turn)]), np.array([0.0, 1.0, 0.0])
    seen = background - np.array([0, 0, AIM_HEIGHT]) - back * SCENE.distance
    across, up, ahead = seen @ right, seen @ np.cross(back, right), -(seen @ back)
    column = round(64 * (1 + across / ahead / HALF_VIEW))
    row = round(64 * (1 - up / ahead / HALF_VIEW))
    assert shadow[row - 3 : row + 4, column - 3 : column + 4].all()


def test_render_smooths_edges_with_more_rays():
    edges = [
        ((picture[..., 2] > 70) & (picture[..., 2] < 150)).sum()
        for picture in (sample(light_azimuth=0.0, side=48, oversampling=rays) for rays in (1, 4))
    ]
    assert edges[1] > edges[0] + 20


def test_render_converges_with_more_rays(scenes):
    exact = render(scenes[:4], 32, 32, 12).float()
    errors = [float((render(scenes[:4], 32, 32, rays).float() - exact).square().mean()) for rays in (1, 2, 3, 6)]
    assert errors == sorted(errors, reverse=True)
    assert errors[1] < 0.5 * errors[0]
    assert errors[3] < 0.1 * errors[0]


def test_render_exposure_is_a_factor_on_light():
    dark, bright = sample(NOTHING, exposure=0.4), sample(NOTHING, exposure=0.8)
    assert bright.max() < 255
    assert np.allclose((bright / dark) ** GAMMA, 2, rtol=0.04)


def test_render_warmth_trades_blue_for_red():
    cold, warm = (sample(NOTHING, exposure=0.6, warmth=warmth).mean((0, 1)) for warmth in (-1.0, 1.0))
    assert warm[0] > cold[0] + 2
    assert warm[1] == pytest.approx(cold[1], abs=0.5)
    assert warm[2] < cold[2] - 4


def test_render_takes_parts_from_the_catalogue():
    assert is_red(sample(BALL)).any()
    assert not is_red(sample(NOTHING)).any()


def test_cover_is_where_the_toy_is_rendered():
    scene = dataclasses.replace(SCENE, aside=(0.2, -0.1), azimuth=40.0)
    mask = cover([SCENE, scene], 64, BALL)
    assert mask.dtype == torch.uint8
    assert np.array_equal(mask[0].numpy() == 1, is_red(sample()))
    assert np.array_equal(mask[1].numpy() == 1, is_red(sample(aside=(0.2, -0.1), azimuth=40.0)))
    assert not cover([SCENE], 64, NOTHING).any()
