"""The split: disjoint, seeded, about 20 %, and stable when photos are added."""

import pytest

from src.core.errors import ConfigError, EmptyDatasetError
from src.data.splitting import split_groups, split_images


def names(count):
    return [f"IMG_{4630 + i}-{i:08x}" for i in range(count)]


def num_val(sides):
    return sum(side == "val" for side in sides.values())


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("count", [2, 3, 6, 39, 200])
def test_split_has_both_sides_and_about_a_fifth_in_val(count, seed):
    val = num_val(split_groups(names(count), 0.2, seed))
    assert 1 <= val < count
    assert 0.7 * 0.2 * count - 1 < val < 1.3 * 0.2 * count + 1


def test_split_is_a_fifth_on_average():
    shares = [num_val(split_groups(names(39), 0.2, seed)) / 39 for seed in range(200)]
    assert abs(sum(shares) / len(shares) - 0.2) < 0.01


def moves(before, after):
    return sum(before[name] != after[name] for name in before)


@pytest.mark.parametrize("start", [6, 20, 39])
def test_split_is_stable_when_a_group_is_added(start):
    moved = []
    for seed in range(100):
        before = split_groups(names(start), 0.2, seed)
        after = split_groups([*names(start), "IMG_9999-abcdef01"], 0.2, seed)
        moved.append(moves(before, after))
    assert max(moved) <= 1
    # Seen with 1000 seeds: one group moves in 12 % of sets of 6, 6 % of sets of 20, 5 % of sets of 39.
    assert sum(moved) <= 20


def test_split_never_moves_anyone_while_the_share_stays_in_bounds():
    everyone = split_groups(names(100), 0.2, 7)
    for count in range(40, 100):
        part = split_groups(names(count), 0.2, 7)
        if 0.15 < num_val(part) / count < 0.25:
            assert moves(part, everyone) == 0


def test_split_depends_on_seed_but_not_on_order():
    groups = names(39)
    assert split_groups(groups, 0.2, 1) == split_groups(groups[::-1], 0.2, 1)
    assert split_groups(groups, 0.2, 1) != split_groups(groups, 0.2, 2)


def test_split_keeps_near_duplicates_together():
    group_of = {f"photo-{i}": f"group-{i // 3}" for i in range(60)}
    sides = split_images(group_of, 0.2, 42)
    for group in set(group_of.values()):
        assert len({sides[image] for image in group_of if group_of[image] == group}) == 1
    assert list(sides) == sorted(group_of)


@pytest.mark.parametrize("groups", [[], ["one"], ["one", "one"]])
def test_split_refuses_fewer_than_two_groups(groups):
    with pytest.raises(EmptyDatasetError, match="at least 2 distinct photos"):
        split_groups(groups, 0.2, 42)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.2, 1.5])
def test_split_refuses_a_fraction_outside_zero_and_one(fraction):
    with pytest.raises(ConfigError, match=r"split\.val_fraction"):
        split_groups(names(10), fraction, 42)
