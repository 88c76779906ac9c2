"""Outliers: one stranger among a subject's photos is named, the subject's own are not, whatever else is there."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from src.data.checks.likeness import GROUND, outliers, strange_faces, subject_alone


def around(direction, count, spread, seed):
    """Unit vectors near an axis of 64."""
    rows = np.random.default_rng(seed).normal(0, spread, (count, 64))
    rows[:, direction] += 1
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def names(found):
    return [finding.images for finding in found]


def look(features, groups=None):
    ids = [f"photo-{n}" for n in range(len(features))]
    return outliers(features, ids, groups or ids, deviations=3.0, least_spread=0.08)


@pytest.mark.parametrize("count", [5, 8, 30])
def test_stranger_is_named_and_the_subjects_photos_are_not(count):
    own = around(0, count, 0.05, seed=count)
    assert look(own) == []
    found = look(np.concatenate([own, around(1, 1, 0.05, seed=1)]))
    assert names(found) == [(f"photo-{count}",)]
    assert found[0].figure > found[0].threshold == 3.0


def test_own_near_duplicate_does_not_vouch_for_a_photo():
    stranger = around(1, 1, 0.05, seed=1)
    features = np.concatenate([around(0, 8, 0.05, seed=0), stranger, stranger])
    groups = [*map(str, range(8)), "burst", "burst"]
    assert names(look(features, groups)) == [("photo-8",), ("photo-9",)]
    assert look(features) == [], "two photos of one stranger vouch for each other; the page says so"


def test_small_differences_among_photos_that_are_all_alike_count_for_nothing():
    own = around(0, 8, 0.002, seed=0)
    odd = around(0, 1, 0.03, seed=1)
    cosines = np.concatenate([own, odd]) @ odd[0]
    assert cosines[:-1].max() < (own @ own.T).min(), "the odd one is the least alike"
    assert look(np.concatenate([own, odd])) == []


def test_subject_alone_shows_the_subject_in_the_middle_of_grey():
    crop, mask = Image.new("RGB", (100, 100), (10, 200, 30)), Image.new("L", (100, 100))
    ImageDraw.Draw(mask).rectangle((60, 10, 79, 49), fill=255)
    alone = np.asarray(subject_alone(crop, mask))
    assert alone.shape == (44, 44, 3)
    inside = (alone == (10, 200, 30)).all(axis=-1)
    assert (inside.sum(), inside[2:42, 12:32].sum()) == (800, 800)
    assert (alone[~inside] == GROUND).all()


@pytest.mark.parametrize("mask", [None, Image.new("L", (100, 100))])
def test_crop_without_a_subject_stays_whole(mask):
    crop = Image.new("RGB", (100, 100), (10, 200, 30))
    assert subject_alone(crop, mask) is crop


def test_face_of_another_person_is_named():
    own, other = around(0, 4, 0.05, seed=0), around(1, 1, 0.05, seed=1)
    faces = dict(zip("abcde", np.concatenate([own, other]), strict=True))
    assert names(strange_faces(faces, 0.363)) == [("e",)]
    assert strange_faces(dict(zip("abcd", own, strict=True)), 0.363) == []
    assert strange_faces(dict(zip("ab", np.concatenate([own[:1], other]), strict=True)), 0.363) == [], "one each"
