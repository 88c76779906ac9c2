"""What the embedded models reach on what they have not seen; every model is loaded as the pipeline loads it."""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from src.core.seeding import derive_seed
from src.data.captioning import BlipCaptioner
from src.features.clip import ClipModel
from src.features.dino import DinoModel
from src.features.store import ImageExtractor
from src.models.families import load_base_model
from src.models.pixels import as_image
from src.pretraining.autoencoder import psnr
from src.pretraining.images import ImageSet, to_unit
from src.sampling.generator import Job, SamplingSettings, sample
from src.sampling.prompts import Prompt
from src.tabletop.captions import agree, description, plain_caption, world_scenes
from src.tabletop.classifier import ANSWERS, Classifier, load_classifier
from src.tabletop.render import render
from src.tabletop.scene import Triple, sample_scene, sample_toy, triples
from src.tabletop.toys import CLASSES, COLOURS

# unseen renders for CLIP and the captioner; captions to choose from
RENDERS, CHOICES = 500, 100
# toys that are to be found again, and other toys of the class and colour that stand beside each
SEARCHES, OTHERS = 200, 4


@dataclass(frozen=True)
class Embedded:
    """Where the models are and how they are run.

    Attributes:
        folder: ``models/tabletop``.
        clip: The CLIP metric model.
        dino: The DINO metric model.
        captioner: BLIP.
        settings: How images are rendered.
        device: Where the models run.
        seed: Of toys, scenes and noise.
    """

    folder: Path
    clip: ClipModel
    dino: DinoModel
    captioner: BlipCaptioner
    settings: SamplingSettings
    device: torch.device
    seed: int


def score_models(models: Embedded, unseen: ImageSet) -> dict[str, float]:
    """Measures all models.

    Args:
        models: Where they are.
        unseen: Renders of toys that no model was trained on.

    Returns:
        Shares in [0, 1], and the autoencoder's peak signal-to-noise ratio in dB.
    """
    sd = load_base_model(str(models.folder / "sd"), None, None, "fp32", models.device)
    restored = psnr(sd.pipeline.vae, unseen.pixels, models.device)
    return {
        "vae_psnr_db": float(restored.mean()),
        "vae_psnr_worst_twentieth_db": float(restored.quantile(0.05)),
        **{f"reader_{name}": value for name, value in _read(models, unseen.pixels, _truth(unseen)).items()},
        **{f"drawn_{name}": value for name, value in score_samples(models).items()},
        "clip_right_of_100": _score_clip(models, unseen),
        "captioner_right": _score_captioner(models, unseen),
        **_score_dino(models),
    }


def score_samples(models: Embedded) -> dict[str, float]:
    """Renders an image of every held-out combination and has it read.

    Args:
        models: Where they are.

    Returns:
        The share of images in which the classifier sees the class, the colour, the background, and all three asked for.
    """
    sd = load_base_model(str(models.folder / "sd"), None, None, "fp32", models.device)
    wanted = triples(models.seed)[1]
    jobs = [Job(Prompt("-".join(triple), "test", "held-out", ""), plain_caption(*triple), 0) for triple in wanted]
    settings = replace(models.settings, seed=models.seed)
    pixels = torch.stack([to_pixels(image) for _, image in sample(sd, settings, jobs)])
    return _read(models, pixels, wanted)


def to_pixels(image: Image.Image) -> Tensor:
    """Returns an image as bytes, (3, S, S), uint8."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def _truth(images: ImageSet) -> list[Triple]:
    return [(scene["name"], scene["colour"], scene["background"]) for scene in world_scenes(images.captions)]


def _read(models: Embedded, pixels: Tensor, wanted: list[Triple]) -> dict[str, float]:
    return read_right(load_classifier(models.folder / "classifier", models.device), pixels, wanted, models.device)


@torch.no_grad()
def read_right(classifier: Classifier, pixels: Tensor, wanted: list[Triple], device: torch.device) -> dict[str, float]:
    """Has images read.

    Args:
        classifier: Reads them.
        pixels: (N, 3, S, S), uint8.
        wanted: Class, colour and background of each.
        device: Where the classifier is.

    Returns:
        Shares of N that are read as wanted: by ANSWERS' names, and ``all`` three.
    """
    parts = [classifier(to_unit(part, device))[1] for part in pixels.split(100)]
    right = {}
    for position, (name, choices) in enumerate(ANSWERS.items()):
        truth = torch.tensor([choices.index(triple[position]) for triple in wanted])
        right[name] = torch.cat([part[name] for part in parts]).argmax(1).cpu() == truth
    return {
        **{name: float(value.float().mean()) for name, value in right.items()},
        "all": float(torch.stack(list(right.values())).all(0).float().mean()),
    }


@torch.no_grad()
def embed(extractor: ImageExtractor, pixels: Tensor, device: torch.device) -> Tensor:
    """Returns unit features (N, D) of images (N, 3, S, S), uint8."""
    images = [as_image(image) for image in pixels]
    batches = [
        torch.stack([extractor.prepare(image) for image in images[i : i + 50]]) for i in range(0, len(images), 50)
    ]
    features = torch.cat([extractor.embed_images(batch.to(device)).cpu() for batch in batches])
    return torch.nn.functional.normalize(features, dim=1)


@torch.no_grad()
def _score_clip(models: Embedded, unseen: ImageSet) -> float:
    """How often the right caption is the nearest among CHOICES different ones."""
    extractor = models.clip.load(str(models.device))
    truth = _truth(unseen)[:RENDERS]
    seen = embed(extractor, unseen.pixels[:RENDERS], models.device)
    every = [plain_caption(*triple) for triple in sorted({*triples(models.seed)[0], *triples(models.seed)[1]})]
    read = torch.nn.functional.normalize(torch.stack([extractor.embed_text(text).cpu() for text in every]), dim=1)
    right = 0
    for row, triple in enumerate(truth):
        answer = every.index(plain_caption(*triple))
        random = np.random.default_rng(derive_seed(models.seed, "choices", row))
        others = [int(i) for i in random.permutation(len(every)) if i != answer][: CHOICES - 1]
        choices = [answer, *others]
        right += int((read[choices] @ seen[row]).argmax()) == 0
    return right / len(truth)


def _score_captioner(models: Embedded, unseen: ImageSet) -> float:
    """How often colour, class and background are all named right."""
    with TemporaryDirectory() as folder:
        files = []
        for row, pixels in enumerate(unseen.pixels[:RENDERS]):
            files.append(Path(folder) / f"{row:04d}.png")
            as_image(pixels).save(files[-1])
        said = models.captioner.describe(files)
    wanted = [description(scene) for scene in world_scenes(unseen.captions)[:RENDERS]]
    right = [agree(text, answer) for text, answer in zip(said, wanted, strict=True)]
    return sum(right) / len(right)


def _score_dino(models: Embedded) -> dict[str, float]:
    """How often a toy from another side, on another background, is nearer than others of its class and colour."""
    extractor = models.dino.load(str(models.device))
    combinations = [(name, colour) for name in sorted(CLASSES) for colour in sorted(COLOURS)]
    backgrounds = sorted({background for _, _, background in triples(models.seed)[0]})
    scenes = []
    for search in range(SEARCHES):
        name, colour = combinations[derive_seed(models.seed, "search", search) % len(combinations)]
        for other in range(OTHERS + 1):
            toy = sample_toy(name, colour, derive_seed(models.seed, "searched", search, other))
            for view in range(2 if other == 0 else 1):
                key = ("searched scene", search, other, view)
                background = backgrounds[derive_seed(models.seed, "ground", *key) % len(backgrounds)]
                scenes.append(sample_scene(toy, background, derive_seed(models.seed, *key)))
    side = models.settings.resolution
    features = embed(extractor, render(scenes, side, side, 3).permute(0, 3, 1, 2), models.device)
    groups = features.view(SEARCHES, OTHERS + 2, -1)
    likeness = torch.einsum("sd,sod->so", groups[:, 0], groups[:, 1:])
    above = likeness[:, :1] > likeness[:, 1:]
    return {
        f"dino_first_of_{OTHERS + 1}": float(above.all(1).float().mean()),
        "dino_above_other": float(above.float().mean()),
    }
