"""The split: disjoint, seeded, the nearest number to a fifth, and stable when photos are added."""

import time
from random import Random

import pytest

from src.core.errors import ConfigError, EmptyDatasetError
from src.data.splitting import split_groups, split_images


def names(count):
    return [f"IMG_{4630 + i}-{i:08x}" for i in range(count)]


def singles(count):
    return dict.fromkeys(names(count), 1)


def bursts(count, seed):
    """Groups of one to five photos, as people take them."""
    random = Random(seed)
    sizes = {}
    for name in names(count):
        left = count - sum(sizes.values())
        if left:
            sizes[name] = min(random.choice((1, 1, 2, 3, 5)), left)
    return sizes


def photos_in_val(sizes, sides):
    return sum(size for name, size in sizes.items() if sides[name] == "val")


@pytest.mark.parametrize(
    ("photos", "held_out"),
    [(2, 1), (3, 1), (4, 1), (5, 2), (6, 2), (10, 2), (12, 2), (13, 3), (24, 5), (39, 8), (158, 32), (200, 40)],
)
def test_split_holds_out_the_nearest_number_to_a_fifth_of_the_photos(photos, held_out):
    for seed in range(5):
        sides = split_groups(singles(photos), 0.2, seed)
        assert list(sides.values()).count("val") == held_out


def test_split_of_39_photos_in_bursts_holds_out_8():
    for seed in range(100):
        sizes = bursts(39, seed)
        assert photos_in_val(sizes, split_groups(sizes, 0.2, seed)) == 8


def test_split_comes_as_near_as_groups_allow():
    for seed in range(20):
        assert photos_in_val({"a": 30, "b": 9}, split_groups({"a": 30, "b": 9}, 0.2, seed)) == 9
        assert photos_in_val({"a": 10, "b": 10}, split_groups({"a": 10, "b": 10}, 0.2, seed)) == 10
        sizes = {"a": 3, "b": 3, "c": 3, "d": 30}  # 8 of 39: 9 is nearer than 6
        assert photos_in_val(sizes, split_groups(sizes, 0.2, seed)) == 9


def test_split_holds_out_bursts_too():
    sizes = bursts(39, 3)
    many = max(sizes, key=lambda name: sizes[name])
    # a fifth of seeds, as far as bursts fit into 8 photos: seen 0.12 for one of 5 photos
    assert 0.08 < sum(split_groups(sizes, 0.2, seed)[many] == "val" for seed in range(300)) / 300 < 0.27


def moves(before, after):
    return sum(before[name] != after[name] for name in before)


@pytest.mark.parametrize("start", [6, 20, 39, 100])
def test_split_moves_at_most_one_photo_when_one_is_added(start):
    moved = []
    for seed in range(100):
        before = split_groups(singles(start), 0.2, seed)
        after = split_groups({**singles(start), "IMG_9999-abcdef01": 1}, 0.2, seed)
        moved.append(moves(before, after))
    assert max(moved) <= 1
    # Seen with 400 seeds: one photo moves in 27 % of sets of 6, 20 % of 20, 39, 100 and 200.
    assert sum(moved) <= 40


def test_split_seldom_moves_more_than_one_group_among_bursts():
    moved = []
    for seed in range(200):
        sizes = bursts(100, seed)
        before = split_groups(sizes, 0.2, seed)
        moved.append(moves(before, split_groups({**sizes, "IMG_9999-abcdef01": 1}, 0.2, seed)))
    assert sum(count > 1 for count in moved) <= 10


def test_split_depends_on_seed_but_not_on_order():
    groups = singles(39)
    backwards = dict(reversed(groups.items()))
    assert split_groups(groups, 0.2, 1) == split_groups(backwards, 0.2, 1)
    assert split_groups(groups, 0.2, 1) != split_groups(groups, 0.2, 2)


def test_split_keeps_near_duplicates_together():
    group_of = {f"photo-{i}": f"group-{i // 3}" for i in range(60)}
    sides = split_images(group_of, 0.2, 42)
    for group in set(group_of.values()):
        assert len({sides[image] for image in group_of if group_of[image] == group}) == 1
    assert list(sides) == sorted(group_of)


def test_split_of_3000_photos_takes_no_time():
    start = time.process_time()
    assert photos_in_val(singles(3000), split_groups(singles(3000), 0.2, 1)) == 600
    assert time.process_time() - start < 2


@pytest.mark.parametrize("groups", [{}, {"one": 1}, {"one": 2}])
def test_split_refuses_fewer_than_two_groups(groups):
    with pytest.raises(EmptyDatasetError, match="at least 2 distinct photos"):
        split_groups(groups, 0.2, 42)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.2, 1.5])
def test_split_refuses_a_fraction_outside_zero_and_one(fraction):
    with pytest.raises(ConfigError, match=r"split\.val_fraction"):
        split_groups(singles(10), fraction, 42)
