from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from src.data.photos.capture import Capture
from src.data.photos.duplicates import Seen, find_pairs, group_names
from src.data.photos.fingerprint import grey_version, perceptual_hash
from src.data.photos.keypoints import look_at
from src.tabletop.backgrounds import BACKGROUNDS
from src.tabletop.render import render
from src.tabletop.subject import CATALOGUE, NAME, PHOTOS, REPEATS, UNSEEN_BACKGROUNDS, plan_shots, take_photo
from src.tabletop.toys import CLASSES, COLOURS, FIXED


def test_plan_is_repeatable_and_other_seeds_give_other_plans():
    assert plan_shots(0) == plan_shots(0)
    assert len(plan_shots(0)) == PHOTOS
    assert not set(plan_shots(0)) & set(plan_shots(1))


def test_plan_keeps_some_grounds_for_later_and_uses_all_others():
    assert {shot.scene.background for shot in plan_shots(0)} == set(BACKGROUNDS) - set(UNSEEN_BACKGROUNDS)
    assert len(UNSEEN_BACKGROUNDS) == 3


def test_plan_sees_all_sides_most_of_them_from_the_front():
    turns = np.array([(shot.scene.azimuth + 180) % 360 - 180 for shot in plan_shots(0)])
    assert set(np.digitize(turns, [-90, 0, 90])) == {0, 1, 2, 3}
    assert 0.6 < (np.abs(turns) < 120).mean() < 1


def test_plan_has_every_way_to_hold_a_camera_and_both_colour_spaces():
    shots = plan_shots(0)
    assert {shot.quarter_turns for shot in shots} == {0, 1, 2, 3}
    assert {shot.wide_gamut for shot in shots} == {False, True}
    assert [shot.picture_size(4032) for shot in (replace(shots[0], quarter_turns=turn) for turn in (0, 1))] == [
        (4032, 3024),
        (3024, 4032),
    ]


def test_near_duplicates_are_found_and_nothing_else_is():
    photos = {}
    for number, shot in enumerate(plan_shots(0)):
        grey = grey_version(take_photo(shot, 256))
        photos[f"{number:02d}"] = Seen(look_at(grey), perceptual_hash(grey), Capture())
    with ThreadPoolExecutor() as pool:
        pairs = find_pairs(photos, 8, pool)
    groups = group_names(photos, [(pair.first, pair.second) for pair in pairs])
    repeats = {name: first for name, first in groups.items() if name != first}
    assert repeats == {f"{number:02d}": f"{number - 1:02d}" for number in REPEATS}
    assert len(REPEATS) == 2


def test_photo_is_repeatable_upright_and_noisy():
    shot = plan_shots(0)[0]
    photo = np.asarray(take_photo(shot, 128)).astype(int)
    assert photo.shape == (128, 96, 3) if shot.quarter_turns % 2 else (96, 128, 3)
    assert np.array_equal(photo, np.asarray(take_photo(shot, 128)))
    other = np.asarray(take_photo(replace(shot, noise_seed=1), 128)).astype(int)
    assert 0 < np.abs(photo - other).mean() < 3


@pytest.mark.parametrize("azimuth", range(0, 360, 45))
def test_subject_shows_colours_that_no_other_toy_has_from_every_side(azimuth):
    scene = replace(plan_shots(0)[0].scene, azimuth=float(azimuth), elevation=30.0, distance=3.2, aside=(0.0, 0.0))
    picture = render([replace(scene, warmth=0.0, exposure=1.0)], 64, 64, 2, CATALOGUE)[0].float() / 255
    brightest = picture.amax(-1, keepdim=True)
    for role, share in (("teal", 0.03), ("cream", 0.01), ("coral", 0.01), ("gold", 0.002)):
        colour = torch.tensor(FIXED[role])
        # shading scales a colour, so compare it after division by its largest channel
        alike = ((picture / brightest.clamp(min=0.05)) - colour / colour.max()).abs().amax(-1) < 0.15
        assert (alike & (brightest[..., 0] > 0.25)).float().mean() > share, role


def test_subject_is_no_class_of_the_world_and_stands_on_the_ground():
    roles = {part.role for part in CATALOGUE[NAME]}
    used = {part.role for parts in CLASSES.values() for part in parts}
    assert NAME not in CLASSES
    assert {"teal", "cream", "coral", "gold"} <= roles - used
    assert roles <= set(FIXED)
    assert not {FIXED[role] for role in roles - used} & set(COLOURS.values())
    assert min(part.centre[2] - part.half[2] for part in CATALOGUE[NAME]) == pytest.approx(0.0, abs=0.02)
