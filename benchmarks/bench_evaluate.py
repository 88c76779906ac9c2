"""Judging images (read, prepared, embedded) against the judge's bare forward pass, and the time of a bootstrap.

`python -m benchmarks.bench_evaluate` takes judges of the real architectures with random weights: speed needs no others.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import open_clip
import timm
import torch
from PIL import Image

from benchmarks.common import machine, seconds, time_in_turns
from src.metrics.clip import ClipTower
from src.metrics.dino import DinoTower
from src.metrics.features import FeatureStore, ImageTower, image_file
from src.metrics.intervals import DRAWS, nested_bootstrap
from src.metrics.preprocessing import IMAGENET, OPENAI, Preparation

IMAGES, SIDE, BATCH, TURNS = 108, 512, 16, 3
PROMPTS, SEEDS = 25, 4


@dataclass(frozen=True)
class Loaded:
    """A judge whose model is at hand."""

    tower: ImageTower

    def load(self, device: str) -> ImageTower:  # noqa: ARG002
        """Returns the model."""
        return self.tower


def build_judges() -> dict[str, Loaded]:
    """Builds the two judges that see every image, on the CPU."""
    dino = timm.create_model("vit_small_patch16_224", pretrained=False, num_classes=0).eval()
    clip = open_clip.create_model("ViT-B-32-quickgelu", pretrained=None).eval()
    return {
        "DINO ViT-S/16": Loaded(DinoTower(dino, Preparation(256, 224, IMAGENET))),
        "CLIP ViT-B/32": Loaded(ClipTower(clip, Preparation(224, 224, OPENAI), "cpu")),
    }


def main() -> None:
    """Prints images per second of both, their ratio, and the seconds of a bootstrap."""
    print(machine())
    random = np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        for number in range(IMAGES):
            pixels = random.integers(0, 256, (SIDE // 8, SIDE // 8, 3)).astype(np.uint8)
            Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(
                Path(folder) / f"{number:03d}.png"
            )
        files = [image_file(path) for path in sorted(Path(folder).iterdir())]
        for name, judge in build_judges().items():
            batch = torch.zeros(BATCH, 3, 224, 224)

            @torch.inference_mode()
            def bare(judge: Loaded = judge, batch: torch.Tensor = batch) -> None:
                for _ in range(-(-IMAGES // BATCH)):
                    judge.tower.embed_images(batch)

            def whole(judge: Loaded = judge) -> None:
                FeatureStore(BATCH, "cpu").embed_images(judge, files)

            found = time_in_turns(whole, bare, TURNS)
            print(
                f"{name}: {IMAGES / found.ours:.1f} images per second, {IMAGES / found.other:.1f} in bare forward "
                f"passes: {found.ratio:.2f} of it (median of {TURNS}, {found.low:.2f} to {found.high:.2f})",
                flush=True,
            )
    differences = random.normal(size=(PROMPTS, SEEDS))
    taken = sorted(seconds(lambda: nested_bootstrap(differences, 0)) for _ in range(TURNS))
    print(f"{DRAWS} bootstrap draws of {PROMPTS} prompts x {SEEDS} seeds: {taken[TURNS // 2]:.2f} s")


if __name__ == "__main__":
    main()
