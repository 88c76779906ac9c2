"""Synthetic images, samples and scores."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from src.core.files import sha256_file
from src.features.store import ImageFile, image_file
from src.metrics.base import References, Sample, Score


def pictures() -> dict[str, Image.Image]:
    """A gradient, a fine checkerboard, a non-square picture, a uniform grey and two noises."""
    y, x = np.mgrid[0:64, 0:64]
    gradient = np.stack([x * 4, y * 4, (x + y) * 2], axis=-1)
    checker = np.repeat(((x + y) % 2 * 255)[..., None], 3, axis=-1)
    wide = np.stack([np.tile(np.arange(96) * 2, (48, 1))] * 3, axis=-1)
    rng = np.random.default_rng(0)
    arrays = {
        "gradient": gradient,
        "checker": checker,
        "wide": wide,
        "grey": np.full((64, 64, 3), 128),
        "noise1": rng.integers(0, 256, (64, 64, 3)),
        "noise2": rng.integers(0, 256, (80, 64, 3)),
    }
    return {name: Image.fromarray(array.astype(np.uint8)) for name, array in arrays.items()}


def write_images(folder: Path) -> list[ImageFile]:
    files = []
    for name, picture in pictures().items():
        picture.save(folder / f"{name}.png")
        files.append(image_file(folder / f"{name}.png"))
    return files


def sample(image: ImageFile, variant="step-000010", prompt="p0", prompt_set="test", seed=0, text="a toy") -> Sample:
    return Sample(variant, prompt, prompt_set, "group", seed, text, image)


def photos_of(val=(), train=(), groups=None) -> References:
    """Photos, each held-out one of a group of its own unless groups are given."""
    return References(tuple(val), tuple(train), tuple(groups or (str(row) for row in range(len(val)))))


def score(variant: str, prompt: str, value, metric="dino", references="val", prompt_set="test", seed=0) -> Score:
    image = ImageFile(Path(f"{variant}/{prompt}/{seed}.png"), "0")
    reason = "" if value is not None else "no value"
    return Score(sample(image, variant, prompt, prompt_set, seed), metric, references, value, reason)


def noise(*key: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(key).integers(0, 256, (32, 32, 3)).astype(np.uint8))


def write_samples(folder, variants=("base", "step-000010"), prompts=(("d0", "dev"), ("t0", "test")), seeds=(0, 1)):
    rows = []
    for v, variant in enumerate(variants):
        for p, (prompt_id, prompt_set) in enumerate(prompts):
            for seed in seeds:
                path = folder / variant / prompt_id / f"{seed}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                noise(v, p, seed).save(path)
                name, digest = path.relative_to(folder).as_posix(), sha256_file(path)
                rows.append(
                    (
                        variant,
                        prompt_id,
                        prompt_set,
                        "style",
                        f"x {prompt_id}",
                        f"a toy {prompt_id}",
                        seed,
                        name,
                        digest,
                        "" if variant == "base" else f"{v:064x}",
                    )
                )
    columns = ["variant", "prompt_id", "set", "group", "prompt", "prompt_plain", "seed", "path", "sha256", "adapter"]
    table = pd.DataFrame(rows, columns=columns)
    table.to_csv(folder / "manifest.csv", index=False)
    return table


def write_photos(data, train=3, val=2):
    (data / "crops").mkdir(parents=True)
    rows = []
    for index in range(train + val):
        image_id = f"photo{index}-00000000"
        noise(9, index).save(data / "crops" / f"{image_id}.png")
        rows.append((image_id, image_id, "train" if index < train else "val", f"a photo of sksToy toy number {index}"))
    table = pd.DataFrame(rows, columns=["image_id", "group", "split", "caption"])
    table[["image_id", "group", "split"]].to_csv(data / "split.csv", index=False)
    table[["image_id", "caption"]].to_csv(data / "captions.csv", index=False)
