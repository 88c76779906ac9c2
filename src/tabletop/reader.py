"""The reader's network: what toy, which colour, what ground."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from src.core.weights import check_saved
from src.models.tensors import load_tensors
from src.tabletop.grounds import GROUNDS
from src.tabletop.toys import CLASSES, COLOURS

ANSWERS: dict[str, list[str]] = {"name": sorted(CLASSES), "colour": sorted(COLOURS), "ground": list(GROUNDS)}


class Reader(nn.Module):
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


def load_reader(folder: Path, device: torch.device) -> Reader:
    """Loads a trained reader.

    Args:
        folder: Its weights and widths.
        device: Where to.

    Returns:
        In evaluation mode, without gradients.

    Raises:
        MissingModelError: It is not there.
    """
    check_saved(folder, f"{folder}: no reader there; `dvc pull models/tabletop`, or `dvc repro` in tabletop/")
    reader = Reader(**json.loads((folder / "config.json").read_text()))
    tensors, _ = load_tensors(folder / "model.safetensors")
    reader.load_state_dict({name: value.float() for name, value in tensors.items()})
    return reader.to(device).eval().requires_grad_(False)
