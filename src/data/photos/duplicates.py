"""Finds near-duplicates: which pairs of photos are looked at, which of them show one picture, and their groups."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from src.data.photos.alignment import Agreement, best_agreement
from src.data.photos.capture import Capture
from src.data.photos.keypoints import Look

# Up to so many photos every pair is looked at; of more, the nearest by hash, by name and by time.
ALL_PAIRS = 200
NEAREST, NEXT_BY_NAME = 12, 3
# Photos that one camera took within so many seconds are a burst, unless too many share a second to be true.
BURST_S, MOST_A_SECOND = 3.0, 20
# A common part must be so much of the smaller frame.
OVERLAP = 0.6
# What of the structure must be explained, less the largest part that changed. More where the camera stood still, so
# that a toy that was turned before it is all that can have changed, and in a mirror, which nobody holds by hand; less
# in a burst, whose subject moves. Chosen on half of the DreamBooth photos, rendered toys and 39 photos of a plush toy.
EXPLAINED, EXPLAINED_STILL, EXPLAINED_IN_BURST = 0.45, 0.75, 0.3
STILL = 0.008


@dataclass(frozen=True)
class Seen:
    """What is known of a photo."""

    look: Look
    phash: int
    capture: Capture


@dataclass(frozen=True)
class Pair:
    """Two near-duplicates; `burst` says that one camera took them within seconds."""

    first: str
    second: str
    burst: bool
    agreement: Agreement


def find_pairs(photos: Mapping[str, Seen], max_bits: int, pool: Executor) -> list[Pair]:
    """Compares photos.

    Args:
        photos: By image_id.
        max_bits: How many of the 64 bits of two hashes may differ, for the frames to be laid on each other where they
            have too few keypoints.
        pool: Does the work.

    Returns:
        The near-duplicates, in order of their names.
    """
    names = sorted(photos)
    bursts = _bursts({name: photos[name].capture for name in names})
    wanted = _every_pair(names) if len(names) <= ALL_PAIRS else bursts | _neighbours(names, photos)

    def compare(pair: tuple[str, str]) -> Pair | None:
        one, other = photos[pair[0]], photos[pair[1]]
        alike = (one.phash ^ other.phash).bit_count() <= max_bits
        agreement = best_agreement(one.look, other.look, alike)
        burst = pair in bursts
        return Pair(*pair, burst, agreement) if agreement and _is_one_picture(agreement, burst) else None

    return [pair for pair in pool.map(compare, sorted(wanted)) if pair is not None]


def _is_one_picture(agreement: Agreement, burst: bool) -> bool:
    if agreement.overlap < OVERLAP:
        return False
    if burst and not agreement.mirrored:
        return agreement.explained >= EXPLAINED_IN_BURST
    still = agreement.mirrored or agreement.moved < STILL
    return agreement.explained - agreement.changed >= (EXPLAINED_STILL if still else EXPLAINED)


def group_names(names: Iterable[str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Groups what is joined by pairs, directly or through others.

    Args:
        names: All of them.
        pairs: Two of them each.

    Returns:
        For each name the smallest name of its group, in order of the names.
    """
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for first, second in pairs:
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    return {name: root(name) for name in sorted(parent)}


def _every_pair(names: Sequence[str]) -> set[tuple[str, str]]:
    return {(first, second) for index, second in enumerate(names) for first in names[:index]}


def _bursts(captures: Mapping[str, Capture]) -> set[tuple[str, str]]:
    """Pairs of photos of one camera within seconds; a clock that gives many photos one second is not believed."""
    rolls: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    for name, capture in captures.items():
        if capture.taken and capture.camera:
            rolls[capture.camera].append((datetime.fromisoformat(capture.taken), name))
    found = set()
    for roll in rolls.values():
        crowd = Counter(taken.replace(microsecond=0) for taken, _ in roll)
        shots = sorted(shot for shot in roll if crowd[shot[0].replace(microsecond=0)] <= MOST_A_SECOND)
        for index, (taken, name) in enumerate(shots):
            for later, other in shots[index + 1 :]:
                if (later - taken).total_seconds() > BURST_S:
                    break
                found.add((min(name, other), max(name, other)))
    return found


def _neighbours(names: Sequence[str], photos: Mapping[str, Seen]) -> set[tuple[str, str]]:
    """Pairs each photo with those of the nearest hashes, its own and its mirror image's, and the next ones by name."""
    hashes = np.array([photos[name].phash for name in names], dtype=np.uint64)
    mirrors = np.array([mirrored_hash(photos[name].phash) for name in names], dtype=np.uint64)
    found: set[tuple[str, str]] = set()
    for index, name in enumerate(names):
        near = {*range(index + 1, min(index + 1 + NEXT_BY_NAME, len(names)))}
        for own in (hashes[index], mirrors[index]):
            distance = np.bitwise_count(hashes ^ own)
            near.update(int(other) for other in np.argsort(distance, kind="stable")[: NEAREST + 1])
        found.update((min(name, names[other]), max(name, names[other])) for other in near if other != index)
    return found


def mirrored_hash(phash: int) -> int:
    """Returns the DCT hash of the mirror image: every second column of frequencies changes its sign.

    The bits say what exceeds the median, near zero, so a bit of such a column becomes its opposite.
    """
    return phash ^ 0x5555555555555555
