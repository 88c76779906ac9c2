"""Classifiers of the embedded world: which toy, which colour, what background; they learn from renders alone.

The classifier measures what a diffusion model generates, and its features serve FID (``fid_tabletop``). The other is
AlexNet, whose features LPIPS compares.
"""

import json
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from src.core.files import write_json
from src.core.seeding import derive_seed
from src.core.weights import check_saved
from src.features.preprocessing import IMAGENET, normalised
from src.models.tensors import load_tensors, save_tensors
from src.pretraining.engine import Given
from src.pretraining.images import Draws, ImageSet, to_unit
from src.tabletop.augment import augmented
from src.tabletop.backgrounds import BACKGROUNDS
from src.tabletop.captions import world_scenes
from src.tabletop.toys import CLASSES, COLOURS

ANSWERS: dict[str, list[str]] = {"name": sorted(CLASSES), "colour": sorted(COLOURS), "background": list(BACKGROUNDS)}


class Classifier(nn.Module):
    """A plain residual network with one head for each question.

    Args:
        widths: Channels of the levels; each level halves the side.
        side: Of the pictures that it learns from, pixels; it reads others, too, but less well.
    """

    def __init__(self, widths: list[int], side: int) -> None:
        super().__init__()
        self.widths, self.side = list(widths), side
        self.stem = nn.Conv2d(3, widths[0], 3, padding=1)
        pairs = zip([widths[0], *widths], widths, strict=False)
        self.levels = nn.ModuleList(_Level(before, after) for before, after in pairs)
        self.norm = nn.GroupNorm(8, widths[-1])
        self.heads = nn.ModuleDict({name: nn.Linear(widths[-1], len(choices)) for name, choices in ANSWERS.items()})

    def forward(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Reads images.

        Args:
            images: (B, 3, S, S), float32 in [-1, 1].

        Returns:
            Features (B, D), and the logits of each question.
        """
        hidden = self.stem(images)
        for level in self.levels:
            hidden = level(hidden)
        features = nn.functional.silu(self.norm(hidden)).mean((2, 3))
        return features, {name: head(features) for name, head in self.heads.items()}


class _Level(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first, self.second = nn.GroupNorm(8, before), nn.GroupNorm(8, after)
        self.halve = nn.Conv2d(before, after, 3, stride=2, padding=1)
        self.refine = nn.Conv2d(after, after, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Halves the side."""
        halved = self.halve(nn.functional.silu(self.first(hidden)))
        refined: Tensor = halved + self.refine(nn.functional.silu(self.second(halved)))
        return refined


def load_classifier(folder: Path, device: torch.device) -> Classifier:
    """Loads a trained classifier.

    Args:
        folder: Its weights and widths.
        device: Where to.

    Returns:
        In evaluation mode, without gradients.

    Raises:
        MissingModelError: It is not there.
    """
    check_saved(folder, f"{folder}: no classifier there; `dvc pull models/tabletop`, or `dvc repro` in tabletop/")
    classifier = Classifier(**json.loads((folder / "config.json").read_text()))
    tensors, _ = load_tensors(folder / "model.safetensors")
    classifier.load_state_dict({name: value.float() for name, value in tensors.items()})
    return classifier.to(device).eval().requires_grad_(False)


class ClassifierFeatures:
    """Features of the embedded world's classifier; comparable among models of this project only.

    Args:
        folder: The classifier's weights and widths.

    Raises:
        MissingModelError: They are not there.
    """

    def __init__(self, folder: str) -> None:
        self.classifier = load_classifier(Path(folder), torch.device("cpu"))
        self.name, self.dimensions = "fid_tabletop", self.classifier.widths[-1]

    @torch.no_grad()
    def extract(self, pixels: Tensor, device: torch.device) -> Tensor:
        """Resizes to the side that the classifier has learnt to read and extracts; see FeatureExtractor."""
        images, side = to_unit(pixels, device), self.classifier.side
        if images.shape[-1] != side:
            images = functional.interpolate(images, (side, side), mode="bilinear", antialias=True)
        features, _ = self.classifier.to(device)(images)
        return features.float().cpu()


class AlexNet(nn.Module):
    """The convolutions of torchvision's AlexNet with a head for each question; see Classifier for what it returns."""

    def __init__(self) -> None:
        super().__init__()
        with torch.device("meta"):
            whole = torchvision.models.alexnet(weights=None)
        self.features = whole.features.to_empty(device="cpu")
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                assert layer.bias is not None, "AlexNet's convolutions have biases"
                nn.init.zeros_(layer.bias)
        self.heads = nn.ModuleDict({name: nn.Linear(256, len(choices)) for name, choices in ANSWERS.items()})

    def forward(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Reads images (B, 3, S, S) in [-1, 1]; returns features (B, 256) and logits."""
        features = self.features(normalised(images, IMAGENET)).mean((2, 3))
        return features, {name: head(features) for name, head in self.heads.items()}


class ClassifierTask:
    """Cross-entropy on class, colour and background.

    Attributes:
        looks_ahead: See Task.

    Args:
        given: What every task is given.
        widths: Channels of the classifier's levels; None trains AlexNet instead.
    """

    looks_ahead = False

    def __init__(
        self,
        given: Given,
        widths: list[int] | None,
    ) -> None:
        train_set, val_set, plan, seed, device = given
        torch.manual_seed(derive_seed(seed, "weights"))
        network: AlexNet | Classifier = AlexNet() if widths is None else Classifier(widths, train_set.resolution)
        self.classifier = network.to(device)
        self.classifier.to(memory_format=torch.channels_last)
        self.averaged: tuple[str, ...] = ("classifier",)
        self.networks: dict[str, nn.Module] = {"classifier": self.classifier}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "adam": torch.optim.AdamW(self.classifier.parameters(), plan.lr, weight_decay=0.05, fused=True)
        }
        self.train_set, self.val_set, self.plan, self.device = train_set, val_set, plan, device
        self.draws = Draws(len(train_set), plan.batch_size, seed)
        self.targets, self.val_targets = _targets(train_set), _targets(val_set)

    def update(self, step: int) -> dict[str, Tensor]:
        """Does one update; see Task."""
        chosen = self.draws.at(step)
        images = augmented(to_unit(self.train_set.pixels[chosen], self.device))
        with self.plan.autocast(self.device):
            _, answers = self.classifier(images)
        losses = [
            functional.cross_entropy(answers[name].float(), self.targets[name][chosen].to(self.device))
            for name in ANSWERS
        ]
        loss = torch.stack(losses).sum()
        self.plan.descend(self.optimizers["adam"], loss)
        return {"loss": loss.detach()}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Returns the share of unseen renders read right: class, colour, background, and all three."""
        self.classifier.eval()
        parts = [self.classifier(to_unit(part, self.device))[1] for part in self.val_set.pixels.split(200)]
        self.classifier.train()
        right = {
            name: torch.cat([part[name] for part in parts]).argmax(1).cpu() == self.val_targets[name]
            for name in ANSWERS
        }
        every = torch.stack(list(right.values())).all(0)
        return {
            **{name: float(value.float().mean()) for name, value in right.items()},
            "all": float(every.float().mean()),
        }

    def samples(self) -> dict[str, Tensor]:
        """Returns nothing: it renders no pictures."""
        return {}

    def save(self, folder: Path) -> None:
        """Writes the classifier's weights and widths; of AlexNet the convolutions, in torchvision's own format."""
        if isinstance(self.classifier, AlexNet):
            weights = {
                f"features.{name}": value.half() for name, value in self.classifier.features.state_dict().items()
            }
            folder.mkdir(parents=True, exist_ok=True)
            torch.save(weights, folder / "alexnet.pth")
            return
        save_tensors(folder / "model.safetensors", self.classifier.state_dict(), {"format": "pt"})
        write_json(folder / "config.json", {"widths": self.classifier.widths, "side": self.classifier.side})


def _targets(images: ImageSet) -> dict[str, Tensor]:
    scenes = world_scenes(images.captions)
    return {name: torch.tensor([choices.index(scene[name]) for scene in scenes]) for name, choices in ANSWERS.items()}
