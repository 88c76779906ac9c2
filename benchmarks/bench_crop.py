"""How often croppers keep the whole subject, on rendered photos whose subject is known to the pixel.

`python -m benchmarks.bench_crop [--count 100] [cropper=salient ...]` prints a table: crops that hold at least 95 % of
the subject, and how many of the whole and of the cut ones have a warning. The photos are 3:4, upright or across, of the
embedded world's toys, near and far, anywhere in the picture; nothing of any cropper was tuned on them.
"""

import argparse
import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.common import machine, seconds
from src.core.building import build
from src.core.config import load_settings
from src.tabletop.render import cover, render
from src.tabletop.world import plan_world

SIDE, SHORT, WHOLE = 320, 240, 0.95
FARTHEST, ASIDE = 2.5, 0.7


def photos(count: int, seed: int) -> Iterator[tuple[Image.Image, NDArray[np.bool_]]]:
    """Yields photos of 3:4 that hold the whole subject, and where it is."""
    chance = random.Random(seed)
    # one picture of each toy
    scenes = [scene for index, scene in enumerate(plan_world("crops", 4 * count, seed)) if index % 4 == 0]
    scenes = [
        replace(
            scene,
            distance=scene.distance * chance.uniform(1, FARTHEST),
            aside=(chance.uniform(-ASIDE, ASIDE), chance.uniform(-ASIDE, ASIDE)),
        )
        for scene in scenes
    ]
    pictures, masks = render(scenes, SIDE, SIDE, 1).numpy(), cover(scenes, SIDE).numpy() > 0
    for picture, mask in zip(pictures, masks, strict=True):
        across = chance.random() < 0.5
        if np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).any():
            continue
        inside = np.flatnonzero(mask.any(axis=1 if across else 0))
        low, high = max(0, int(inside[-1]) + 1 - SHORT), min(int(inside[0]), SIDE - SHORT)
        if low > high:
            continue
        first = chance.randint(low, high)
        part = np.s_[first : first + SHORT] if across else np.s_[:, first : first + SHORT]
        yield Image.fromarray(picture[part]), mask[part]


def main() -> None:
    """Prints a row for each cropper."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("croppers", nargs="*", default=["cropper=salient", "cropper=centre"], metavar="cropper=NAME")
    args = parser.parse_args()
    cases = list(photos(args.count, args.seed))
    print(f"{machine()}\n\n{len(cases)} photos\n")
    print("| cropper | whole subject | warned of those that are not | of those that are | seconds a photo |")
    print("|---|---|---|---|---|")
    for choice in args.croppers:
        cropper = build(load_settings([choice]).cropper, "cropper")
        boxes = []
        taken = seconds(lambda cropper=cropper, boxes=boxes: boxes.extend(cropper.find(image) for image, _ in cases))
        rows = []
        for box, (_, mask) in zip(boxes, cases, strict=True):
            inside = mask[max(box.top, 0) : box.bottom, max(box.left, 0) : box.right].sum()
            rows.append((inside >= WHOLE * mask.sum(), bool(box.warning)))
        warned = {kind: [warning for whole, warning in rows if whole == kind] for kind in (True, False)}
        counts = [f"{sum(warned[kind])} of {len(warned[kind])}" for kind in (False, True)]
        print(
            f"| {choice.partition('=')[2]} | {len(warned[True])} of {len(cases)} | {counts[0]} | {counts[1]} "
            f"| {taken / len(cases):.2f} |"
        )


if __name__ == "__main__":
    main()
