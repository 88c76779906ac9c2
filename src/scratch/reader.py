"""Trains classifiers that say which toy, colour and ground a picture shows; they learn from renders alone.

The reader judges what a diffusion model draws, and its features serve FID (``fid_tabletop``). The other is AlexNet,
whose features LPIPS compares.
"""

from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from src.core.files import write_json
from src.core.seeding import derive_seed
from src.features.preprocessing import IMAGENET
from src.models.tensors import save_tensors
from src.scratch.augment import augmented
from src.scratch.engine import Given
from src.scratch.images import Draws, ImageSet, to_unit
from src.scratch.judges import normalised
from src.tabletop.reader import ANSWERS, Reader


class AlexNet(nn.Module):
    """The convolutions of torchvision's AlexNet with a head for each question; see Reader for what it returns."""

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


class ReaderTask:
    """Cross-entropy on class, colour and ground.

    Args:
        given: What every task is given.
        widths: Channels of the reader's levels; None trains AlexNet instead.
    """

    def __init__(
        self,
        given: Given,
        widths: list[int] | None,
    ) -> None:
        train_set, val_set, plan, seed, device = given
        torch.manual_seed(derive_seed(seed, "weights"))
        network: AlexNet | Reader = AlexNet() if widths is None else Reader(widths, train_set.resolution)
        self.reader = network.to(device)
        self.reader.to(memory_format=torch.channels_last)
        self.averaged: tuple[str, ...] = ("reader",)
        self.networks: dict[str, nn.Module] = {"reader": self.reader}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "adam": torch.optim.AdamW(self.reader.parameters(), plan.lr, weight_decay=0.05, fused=True)
        }
        self.train_set, self.val_set, self.plan, self.device = train_set, val_set, plan, device
        self.draws = Draws(len(train_set), plan.batch_size, seed)
        self.targets, self.val_targets = _targets(train_set), _targets(val_set)

    def update(self, step: int) -> dict[str, Tensor]:
        """Does one update; see Task."""
        chosen = self.draws.at(step)
        images = augmented(to_unit(self.train_set.pixels[chosen], self.device))
        with self.plan.autocast(self.device):
            _, answers = self.reader(images)
        losses = [
            functional.cross_entropy(answers[name].float(), self.targets[name][chosen].to(self.device))
            for name in ANSWERS
        ]
        loss = torch.stack(losses).sum()
        self.plan.descend(self.optimizers["adam"], loss)
        return {"loss": loss.detach()}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Returns the share of unseen renders read right: class, colour, ground, and all three."""
        self.reader.eval()
        parts = [self.reader(to_unit(part, self.device))[1] for part in self.val_set.pixels.split(200)]
        self.reader.train()
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
        """Returns nothing: it draws no pictures."""
        return {}

    def save(self, folder: Path) -> None:
        """Writes the reader's weights and widths; of AlexNet the convolutions, in torchvision's own format."""
        if isinstance(self.reader, AlexNet):
            weights = {f"features.{name}": value.half() for name, value in self.reader.features.state_dict().items()}
            folder.mkdir(parents=True, exist_ok=True)
            torch.save(weights, folder / "alexnet.pth")
            return
        save_tensors(folder / "model.safetensors", self.reader.state_dict(), {"format": "pt"})
        write_json(folder / "config.json", {"widths": self.reader.widths, "side": self.reader.side})


def _targets(images: ImageSet) -> dict[str, Tensor]:
    assert images.scenes is not None, "the reader learns from scene tables"
    return {
        name: torch.tensor([choices.index(scene[name]) for scene in images.scenes]) for name, choices in ANSWERS.items()
    }
