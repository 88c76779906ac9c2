"""How many repeated photos are found, how many different ones are joined, and what it costs.

`python -m benchmarks.bench_duplicates [--photos FOLDER] [--every 1] [--toys 4] [--counts 40 200 3000]` prints
tables: kinds of repeated photos and how many are found; bursts that a split leaves on both sides; pairs of different
photos of one subject that are joined, by name; seconds for so many photos. FOLDER has a folder of photos per subject,
such as the data set of DreamBooth; without it the rendered toys alone are looked at.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from benchmarks.common import machine, seconds
from benchmarks.near_duplicates import BURSTS, KINDS, burst
from src.core.seeding import derive_seed
from src.data.photos.capture import Capture
from src.data.photos.duplicates import Seen, find_pairs, group_names
from src.data.photos.fingerprint import grey_version, perceptual_hash
from src.data.photos.keypoints import look_at
from src.data.splitting import split_images
from src.tabletop.backgrounds import BACKGROUNDS
from src.tabletop.render import render
from src.tabletop.scene import sample_scene, sample_toy
from src.tabletop.toys import CLASSES

# Toys that look alike from all sides are no different photos.
ROUND = frozenset(("ball", "lamp", "mug", "mushroom", "rocket"))
VIEWS = (0, 25, 60, 120, 200)
BITS, FRAMES, LONG_SIDE = 8, 5, 640
PHOTO_NAMES = ("*.jpg", "*.png")


def toys(count: int) -> Iterator[tuple[str, list[Image.Image]]]:
    """Yields toys seen from several sides on one background: in turn the toy turns, or the camera goes around it."""
    names = sorted(set(CLASSES) - ROUND)
    for index in range(count):
        name, background = names[index % len(names)], BACKGROUNDS[(3 * index + 1) % len(BACKGROUNDS)]
        first = sample_scene(sample_toy(name, "red", 100 + index), background, 100 + index)
        scenes = [
            replace(first, azimuth=first.azimuth + a, background_turn=first.background_turn + a * (1 - index % 2))
            for a in VIEWS
        ]
        pixels = render(scenes, 256, 192, 1).numpy().astype(np.float32)
        noisy = pixels + np.random.default_rng(index).normal(0, 2, pixels.shape)
        pictures = [Image.fromarray(picture) for picture in np.clip(noisy, 0, 255).astype(np.uint8)]
        yield f"{name} on {background}", [picture.resize((LONG_SIDE, LONG_SIDE * 3 // 4)) for picture in pictures]


def subjects(folder: Path, every: int) -> Iterator[tuple[str, list[Image.Image]]]:
    """Yields every so many folders of photos, shrunk."""
    for subject in sorted(path for path in folder.iterdir() if path.is_dir())[1::every]:
        photos = []
        for path in sorted(file for names in PHOTO_NAMES for file in subject.glob(names)):
            with Image.open(path) as image:
                image.draft("RGB", (LONG_SIDE, LONG_SIDE))
                photo = ImageOps.exif_transpose(image).convert("RGB")
            photo.thumbnail((LONG_SIDE, LONG_SIDE))
            photos.append(photo)
        yield subject.name, photos


def see(image: Image.Image) -> Seen:
    """Measures a photo as the stage convert does."""
    grey = grey_version(image)
    return Seen(look_at(grey), perceptual_hash(grey), Capture())


def joined(photos: Mapping[str, Seen], pool: ThreadPoolExecutor) -> set[tuple[str, str]]:
    """Returns the pairs that are found."""
    return {(pair.first, pair.second) for pair in find_pairs(photos, BITS, pool)}


def leaks(photos: Mapping[str, Seen], frames: Sequence[str], pool: ThreadPoolExecutor, seed: int) -> bool:
    """Says whether a split of these photos leaves frames of a burst on both sides."""
    groups = group_names(photos, joined(photos, pool))
    if len(set(groups.values())) < 2:
        return False
    sides = split_images(groups, 0.2, seed)
    return len({sides[frame] for frame in frames}) > 1


def look_at_subject(
    name: str, images: Sequence[Image.Image], pool: ThreadPoolExecutor, found: Mapping[str, list[bool]]
) -> set[tuple[str, str]]:
    """Repeats each photo of a subject in every way.

    Args:
        name: The subject.
        images: Its photos.
        pool: Does the work.
        found: Gets, by kind, whether each repeated photo was found, and whether each burst leaked.

    Returns:
        The pairs of its photos that are joined as they are.
    """
    photos = {f"{name} {index:02}": see(image) for index, image in enumerate(images)}
    for index, (own, image) in enumerate(zip(photos, images, strict=True)):
        chance = np.random.default_rng(derive_seed(0, name, index))
        for kind, change in KINDS.items():
            found[kind].append(bool(joined({"a": photos[own], "b": see(change(image, chance))}, pool)))
        for motion in BURSTS:
            frames = {f"{own} {frame}": see(burst(image, motion, chance)) for frame in range(FRAMES)}
            pairs = joined(frames, pool)
            groups = group_names(frames, pairs)
            found[f"burst, {motion:.0%} motion"] += [groups[frame] == min(frames) for frame in sorted(frames)[1:]]
            others = {other: seen for other, seen in photos.items() if other != own}
            found[f"leaks {motion:.0%}"].append(leaks(others | frames, list(frames), pool, index))
    return joined(photos, pool)


def cost(looks: Sequence[Seen], counts: Sequence[int], pool: ThreadPoolExecutor) -> None:
    """Prints how long pairs are looked for among so many photos, the given ones over and over with other hashes."""
    print("| photos | seconds | pairs found |")
    print("|---|---|---|")
    for count in counts:
        random = np.random.default_rng(0)
        many = {
            f"{index:05}": replace(looks[index % len(looks)], phash=int(random.integers(2**63)))
            for index in range(count)
        }
        pairs: list[int] = []
        taken = seconds(lambda many=many, pairs=pairs: pairs.append(len(find_pairs(many, BITS, pool))))  # type: ignore[misc]
        print(f"| {count} | {taken:.1f} | {pairs[0]} |")


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--every", type=int, default=1, help="every so many folders, from the second on")
    parser.add_argument("--toys", type=int, default=4)
    parser.add_argument("--counts", type=int, nargs="*", default=[40, 200, 3000])
    args = parser.parse_args()
    print(f"{machine()}\n")
    found: dict[str, list[bool]] = defaultdict(list)
    wrong: set[tuple[str, str]] = set()
    looks: list[Seen] = []
    possible = 0
    with ThreadPoolExecutor() as pool:
        sets = [*toys(args.toys), *(subjects(args.photos, args.every) if args.photos else [])]
        for name, images in sets:
            wrong |= look_at_subject(name, images, pool, found)
            possible += len(images) * (len(images) - 1) // 2
            looks += [see(image) for image in images]
        print("| kind | found | of |\n|---|---|---|")
        for kind, results in found.items():
            if not kind.startswith("leaks"):
                print(f"| {kind} | {sum(results) / len(results):.1%} | {len(results)} |")
        print("\n| bursts of 5 frames, split with the subject's other photos | on both sides | of |\n|---|---|---|")
        for kind, results in found.items():
            if kind.startswith("leaks"):
                print(f"| {kind.removeprefix('leaks ')} motion | {sum(results)} | {len(results)} |")
        print(f"\n{len(wrong)} of {possible} pairs of different photos of one subject joined: {sorted(wrong)}\n")
        cost(looks, args.counts, pool)


if __name__ == "__main__":
    main()
