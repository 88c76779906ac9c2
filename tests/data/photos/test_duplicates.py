"""Near-duplicates: every way in which people repeat a photo is found, another view of the same toy is not."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from benchmarks.near_duplicates import KINDS, burst
from src.data.photos import duplicates
from src.data.photos.alignment import best_agreement
from src.data.photos.capture import Capture
from src.data.photos.duplicates import Seen, find_pairs, group_names
from src.data.photos.fingerprint import grey_version, perceptual_hash
from src.data.photos.keypoints import look_at, match, mirrored
from src.tabletop.render import render
from src.tabletop.scene import Scene, sample_scene, sample_toy


def toy(name="bear", background="rug", seed=3):
    return replace(sample_scene(sample_toy(name, "red", seed), background, seed), aside=(0.0, 0.0), distance=3.4)


def photo(scene: Scene):
    pixels = render([scene], 160, 120, 1)[0].numpy().astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 2, pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).resize((512, 384))


@pytest.fixture(scope="module")
def views():
    """One toy on one ground; the camera stands still and the toy turns."""
    return [photo(replace(toy(), azimuth=a, background_turn=toy().background_turn + a)) for a in (0, 40, 110, 200)]


def seen(image, taken="", camera=""):
    grey = grey_version(image)
    return Seen(look_at(grey), perceptual_hash(grey), Capture(taken, camera))


def joined(**photos):
    with ThreadPoolExecutor(2) as pool:
        return {(pair.first, pair.second) for pair in find_pairs(photos, 8, pool)}


@pytest.mark.parametrize("kind", KINDS)
def test_find_pairs_joins_every_kind_of_repeated_photo(views, kind):
    repeated = KINDS[kind](views[0], np.random.default_rng(1))
    assert joined(a=seen(views[0]), b=seen(repeated), c=seen(views[2])) == {("a", "b")}


@pytest.mark.parametrize("motion", [0.01, 0.03, 0.05])
def test_find_pairs_joins_the_frames_of_a_burst(views, motion):
    frames = {f"f{i}": seen(burst(views[0], motion, np.random.default_rng(i))) for i in range(3)}
    found = joined(**frames, other=seen(views[1]))
    assert set(group_names([*frames, "other"], found).values()) == {"f0", "other"}
    assert all("other" not in pair for pair in found)


def test_find_pairs_keeps_views_of_one_toy_on_one_ground_apart(views):
    assert joined(**{f"v{i}": seen(view) for i, view in enumerate(views)}) == set()


def test_find_pairs_joins_blank_photos_of_one_brightness_only():
    blank = {f"b{level}": seen(Image.new("RGB", (400, 300), (level,) * 3)) for level in (20, 30, 230)}
    assert joined(**blank) == {("b20", "b30")}


def test_find_pairs_takes_frames_within_seconds_for_a_burst_only_of_one_camera(views, monkeypatch):
    other = burst(views[0], 0.05, np.random.default_rng(5))
    monkeypatch.setattr(duplicates, "EXPLAINED", 1.1)
    monkeypatch.setattr(duplicates, "EXPLAINED_STILL", 1.1)  # no pair is one without the clock
    times = ("2024-05-01T10:00:00.250", "2024-05-01T10:00:02", "2024-05-01T10:00:09")
    assert joined(a=seen(views[0], times[0], "x"), b=seen(other, times[1], "x")) == {("a", "b")}
    assert joined(a=seen(views[0], times[0], "x"), b=seen(other, times[1], "y")) == set()
    assert joined(a=seen(views[0], times[0], "x"), b=seen(other, times[2], "x")) == set()
    # another place within seconds is no frame of the burst
    assert joined(a=seen(views[0], times[0], "x"), b=seen(photo(toy("car", "tiles")), times[1], "x")) == set()
    monkeypatch.setattr(duplicates, "MOST_A_SECOND", 1)  # a clock that stands still
    assert joined(a=seen(views[0], times[1], "x"), b=seen(other, times[1], "x")) == set()


def test_find_pairs_looks_at_neighbours_only_where_there_are_many_photos(views, monkeypatch):
    """Every kind but strong crops is near by hash or by name."""
    monkeypatch.setattr(duplicates, "ALL_PAIRS", 2)
    monkeypatch.setattr(duplicates, "NEAREST", 3)
    view = seen(views[1])
    flat = {f"z{i:02}": replace(view, phash=i << 40) for i in range(30)}
    looked = []
    monkeypatch.setattr(duplicates, "best_agreement", lambda *pair: looked.append(pair))
    joined(a=seen(views[0]), **flat, zz=seen(KINDS["mirrored"](views[0], np.random.default_rng(0))))
    assert len(looked) <= 32 * (duplicates.NEXT_BY_NAME + 2 * 4)


def test_best_agreement_gives_the_same_numbers_every_time_and_in_threads(views):
    one, other = look_at(grey_version(views[0])), look_at(grey_version(burst(views[0], 0.05, np.random.default_rng(2))))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: best_agreement(one, other, alike=False), range(8)))
    assert all(first == second for first, second in pairwise(found))
    assert found[0] is not None


def test_mirrored_descriptors_match_those_of_the_mirror_image(views):
    plain, flipped = look_at(grey_version(views[0])), look_at(grey_version(views[0].transpose(Image.FLIP_LEFT_RIGHT)))
    one, other = plain.descriptors.astype(np.float32), flipped.descriptors.astype(np.float32)
    pairs = match(one, mirrored(other), 0.85)
    width = plain.grey.shape[1]
    at = np.abs(width - flipped.points[pairs[:, 1], 0] - plain.points[pairs[:, 0], 0])
    assert (at < 2).sum() > 0.7 * len(one)
    assert len(match(one, other, 0.85)) < 0.3 * len(pairs)


def test_group_names_join_through_others_and_take_the_smallest_name():
    assert group_names("dcba", [("c", "a"), ("b", "c")]) == {"a": "a", "b": "a", "c": "a", "d": "d"}
    assert group_names("ab", []) == {"a": "a", "b": "b"}
    assert group_names([], []) == {}
