"""Splits photos into train and val by near-duplicate group, so that no group has a member on either side."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from src.core.errors import ConfigError, EmptyDatasetError
from src.core.seeding import derive_seed

Side = Literal["train", "val"]

KEY_RANGE = 2.0**63
# One held-out photo is no metric model where there are photos for a second one.
ENOUGH_FOR_TWO = 5
# Photos of one group are one piece of evidence; fewer pieces cannot tell luck from likeness.
FEW_GROUPS = 3


def wanted_val(num_photos: int, val_fraction: float) -> int:
    """Returns how many photos to hold out: the nearest whole number, at least two of five or more."""
    nearest = math.floor(val_fraction * num_photos + 0.5)
    return min(max(nearest, 2 if num_photos >= ENOUGH_FOR_TWO else 1), num_photos - 1)


def split_groups(sizes: Mapping[str, int], val_fraction: float, seed: int) -> dict[str, Side]:
    """Assigns each group to train or val, so that val has the wanted number of photos or the nearest possible one.

    Each group has a key in [0, 1) that depends on the seed and its own name only. Of the groups of several photos
    those with a key below `val_fraction` are held out, whatever else is in the set; then single photos, lowest keys
    first, fill up what is left. An added photo of its own so moves at most one other. Where this cannot give the
    nearest possible number (bursts larger than what is wanted, too few single photos) groups are passed over, or
    further groups of several photos are taken, lowest keys first.

    Args:
        sizes: How many photos each near-duplicate group has.
        val_fraction: The wanted share of photos in val, in (0, 1).
        seed: The seed of the split.

    Returns:
        Each group's side, in order of the names; both sides have at least one group.

    Raises:
        ConfigError: `val_fraction` is not in (0, 1).
        EmptyDatasetError: There are fewer than two groups.
    """
    if not 0 < val_fraction < 1:
        raise ConfigError(f"split.val_fraction={val_fraction}: expected a number between 0 and 1, both excluded")
    if len(sizes) < 2:
        raise EmptyDatasetError(
            f"the split needs at least 2 distinct photos, one to train on and one to measure on; found {len(sizes)} "
            "(near-duplicates count as one). Add photos to data/raw"
        )
    keys = {name: derive_seed(seed, "split", name) / KEY_RANGE for name in sizes}

    def turn(name: str) -> tuple[int, float, str]:
        if sizes[name] == 1:
            return 1, keys[name], name
        return 0 if keys[name] < val_fraction else 2, keys[name], name

    names = sorted(sizes, key=turn)
    val = _first_with_sum(names, sizes, wanted_val(sum(sizes.values()), val_fraction))
    return {name: "val" if name in val else "train" for name in sorted(sizes)}


def _first_with_sum(names: Sequence[str], sizes: Mapping[str, int], wanted: int) -> set[str]:
    """Chooses groups, the first ones as far as possible, whose photos together come nearest to a number."""
    # Bit s of reachable[i]: some of names[i:] have s photos together.
    reachable = [1]
    for name in reversed(names):
        reachable.append(reachable[-1] | reachable[-1] << sizes[name])
    reachable.reverse()
    total = sum(sizes.values())
    sums = [count for count in range(1, total) if reachable[0] >> count & 1]
    left = min(sums, key=lambda count: (abs(count - wanted), -count))
    chosen = set()
    for index, name in enumerate(names):
        if sizes[name] <= left and reachable[index + 1] >> (left - sizes[name]) & 1:
            chosen.add(name)
            left -= sizes[name]
    return chosen


def split_images(group_of: Mapping[str, str], val_fraction: float, seed: int) -> dict[str, Side]:
    """Assigns each image the side of its group.

    Args:
        group_of: The near-duplicate group of each image id.
        val_fraction: The wanted share of photos in val, in (0, 1).
        seed: The seed of the split.

    Returns:
        Each image's side, in order of the ids.
    """
    side_of = split_groups(Counter(group_of.values()), val_fraction, seed)
    sides = {image_id: side_of[group_of[image_id]] for image_id in sorted(group_of)}
    seen = {side: {group_of[image_id] for image_id in sides if sides[image_id] == side} for side in ("train", "val")}
    assert seen["train"].isdisjoint(seen["val"]), "a near-duplicate group is in train and in val"
    assert all(seen.values()), "a side of the split is empty"
    return sides
