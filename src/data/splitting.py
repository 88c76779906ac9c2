"""Splits photos into train and val by near-duplicate group, so that no group has a member on either side."""

from collections.abc import Iterable, Mapping
from typing import Literal

from src.core.errors import ConfigError, EmptyDatasetError
from src.core.seeding import derive_seed

Side = Literal["train", "val"]

KEY_RANGE = 2.0**63
# The share of val may be so many times what was asked before photos change sides: 5 to 10 of 39 for a fifth.
LEAST, MOST = 0.7, 1.3


def split_groups(groups: Iterable[str], val_fraction: float, seed: int) -> dict[str, Side]:
    """Assigns each group to train or val; an added group leaves the others where they are.

    Each group has a key in [0, 1) that depends on the seed and its own name only, and is val where the key is
    below `val_fraction`: what else is in the set does not matter. The share of val is then right on average and
    scatters like a coin's. Only where it would leave [0.7, 1.3] times `val_fraction`, or a side would stay empty,
    val is the nearest allowed number of groups with the lowest keys; there an added group moves at most one other.

    Args:
        groups: The names of the near-duplicate groups; repetitions do not count.
        val_fraction: The wanted share of groups in val, in (0, 1).
        seed: The seed of the split.

    Returns:
        Each group's side, in order of the names; both sides have at least one group.

    Raises:
        ConfigError: `val_fraction` is not in (0, 1).
        EmptyDatasetError: There are fewer than two groups.
    """
    if not 0 < val_fraction < 1:
        raise ConfigError(f"split.val_fraction={val_fraction}: expected a number between 0 and 1, both excluded")
    names = sorted(set(groups))
    if len(names) < 2:
        raise EmptyDatasetError(
            f"the split needs at least 2 distinct photos, one to train on and one to judge by; found {len(names)} "
            "(near-duplicates count as one). Add photos to data/raw"
        )
    keys = {name: derive_seed(seed, "split", name) / KEY_RANGE for name in names}
    least = max(1, round(LEAST * val_fraction * len(names)))
    most = min(len(names) - 1, round(MOST * val_fraction * len(names)))
    num_val = min(max(sum(key < val_fraction for key in keys.values()), least), most)
    val = set(sorted(names, key=lambda name: (keys[name], name))[:num_val])
    return {name: "val" if name in val else "train" for name in names}


def split_images(group_of: Mapping[str, str], val_fraction: float, seed: int) -> dict[str, Side]:
    """Assigns each image the side of its group.

    Args:
        group_of: The near-duplicate group of each image id.
        val_fraction: The wanted share of groups in val, in (0, 1).
        seed: The seed of the split.

    Returns:
        Each image's side, in order of the ids.
    """
    side_of = split_groups(group_of.values(), val_fraction, seed)
    sides = {image_id: side_of[group_of[image_id]] for image_id in sorted(group_of)}
    seen = {side: {group_of[image_id] for image_id in sides if sides[image_id] == side} for side in ("train", "val")}
    assert seen["train"].isdisjoint(seen["val"]), "a near-duplicate group is in train and in val"
    assert all(seen.values()), "a side of the split is empty"
    return sides
