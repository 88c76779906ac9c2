"""Measuring images (read, prepared, embedded) against the model's bare forward pass, and a bootstrap's time.

`python -m benchmarks.bench_evaluate` takes metric models of the real architectures with random weights: speed needs no
others.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import open_clip
import timm
import torch
from PIL import Image
from torchmetrics.functional.image.lpips import _LPIPS

from benchmarks.common import Timing, machine, seconds, time_in_turns
from src.features.clip import ClipExtractor
from src.features.dino import DinoExtractor
from src.features.lpips import LpipsExtractor, mean_distances
from src.features.preprocessing import IMAGENET, MINUS_ONE_TO_ONE, OPENAI, Preparation
from src.features.store import FeatureStore, ImageExtractor, ImageFile, image_file
from src.metrics.intervals import DRAWS, nested_bootstrap

IMAGES, SIDE, BATCH, TURNS = 108, 512, 16, 3
PROMPTS, SEEDS = 25, 4
PREPARATION = Preparation(256, 256, MINUS_ONE_TO_ONE)


@dataclass(frozen=True)
class Loaded:
    """A metric model whose model is at hand."""

    extractor: ImageExtractor

    def load(self, device: str) -> ImageExtractor:  # noqa: ARG002
        """Returns the model."""
        return self.extractor


def build_metric_models() -> dict[str, Loaded]:
    """Builds the two metric models that see every image, on the CPU."""
    dino = timm.create_model("vit_small_patch16_224", pretrained=False, num_classes=0).eval()
    clip = open_clip.create_model("ViT-B-32-quickgelu", pretrained=None).eval()
    return {
        "DINO ViT-S/16": Loaded(DinoExtractor(dino, Preparation(256, 224, IMAGENET))),
        "CLIP ViT-B/32": Loaded(ClipExtractor(clip, Preparation(224, 224, OPENAI), "cpu")),
    }


def time_embedding(files: list[ImageFile]) -> list[Timing]:
    """Prints images per second of the metric models that see every image once, and returns the timings."""
    timings = []
    for name, metric_model in build_metric_models().items():
        batch = torch.zeros(BATCH, 3, 224, 224)

        @torch.inference_mode()
        def bare(metric_model: Loaded = metric_model, batch: torch.Tensor = batch) -> None:
            for _ in range(-(-IMAGES // BATCH)):
                metric_model.extractor.embed_images(batch)

        def whole(metric_model: Loaded = metric_model) -> None:
            FeatureStore(BATCH, "cpu").embed_images(metric_model, files)

        timings.append(time_in_turns(whole, bare, TURNS))
        report(name, timings[-1])
    return timings


def time_distances(files: list[ImageFile]) -> Timing:
    """Prints images per second of LPIPS: all pairs of four images, each through AlexNet once; returns the timing."""
    extractor = LpipsExtractor(_LPIPS(pretrained=True, net="alex", pnet_rand=True).eval(), PREPARATION, "cpu")
    groups = [files[first : first + SEEDS] for first in range(0, IMAGES, SEEDS)]
    pairs = len(groups) * SEEDS * (SEEDS - 1) // 2
    batch = torch.zeros(BATCH, 3, 256, 256)

    @torch.inference_mode()
    def network() -> None:
        for _ in range(-(-IMAGES // BATCH)):
            extractor.model.net(batch)

    @torch.inference_mode()
    def plain() -> None:
        for _ in range(-(-pairs // BATCH)):
            extractor.model(batch, batch)

    def whole() -> None:
        FeatureStore(BATCH, "cpu").map(lambda group: mean_distances(extractor, group), groups)

    report("LPIPS AlexNet, its network alone", time_in_turns(whole, network, TURNS))
    timing = time_in_turns(whole, plain, TURNS)
    report("LPIPS AlexNet, pair by pair", timing)
    return timing


def report(name: str, found: Timing) -> None:
    """Prints images per second of the whole measurement and of bare forward passes."""
    print(
        f"{name}: {IMAGES / found.ours:.1f} images per second, {IMAGES / found.other:.1f} in bare forward "
        f"passes: {found.ratio:.2f} of it (median of {TURNS}, {found.low:.2f} to {found.high:.2f})",
        flush=True,
    )


def main() -> None:
    """Prints images per second of the three models beside bare forward passes, and the seconds of a bootstrap."""
    print(machine())
    random = np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        for number in range(IMAGES):
            pixels = random.integers(0, 256, (SIDE // 8, SIDE // 8, 3)).astype(np.uint8)
            Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(
                Path(folder) / f"{number:03d}.png"
            )
        files = [image_file(path) for path in sorted(Path(folder).iterdir())]
        timings = [*time_embedding(files), time_distances(files)]
    ours, other = (sum(getattr(timing, side) for timing in timings) for side in ("ours", "other"))
    print(f"all three: {IMAGES / ours:.1f} images per second, {other / ours:.2f} of their bare forward passes")
    differences = random.normal(size=(PROMPTS, SEEDS))
    taken = sorted(seconds(lambda: nested_bootstrap(differences, 0)) for _ in range(TURNS))
    print(f"{DRAWS} bootstrap draws of {PROMPTS} prompts x {SEEDS} seeds: {taken[TURNS // 2]:.2f} s")


if __name__ == "__main__":
    main()
