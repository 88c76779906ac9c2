"""The networks of SNGAN: residual generator and discriminator for square images of 8 px and more.

Papers: Spectral Normalization for Generative Adversarial Networks (Miyato et al., 2018), arXiv:1802.05957,
tables 3 to 5; cGANs with Projection Discriminator (Miyato & Koyama, 2018), arXiv:1802.05637, for classes.
Symbols: B batch, K classes, S side in pixels.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

# side of the feature map that the generator begins with
FIRST_SIDE = 4
Layer = TypeVar("Layer", bound=nn.Module)


class Generator(nn.Module):
    """Turns noise into images; every block but the first layer doubles the side.

    Args:
        widths: Channels of the first layer and of every block; the images' side is 4 * 2^(len(widths) - 1).
        noise_size: Values of the noise.
        classes: K; 0 without classes.
    """

    def __init__(self, widths: list[int], noise_size: int, classes: int) -> None:
        super().__init__()
        self.first_width, self.noise_size = widths[0], noise_size
        self.first = nn.Linear(noise_size, widths[0] * FIRST_SIDE**2)
        nn.init.xavier_uniform_(self.first.weight)
        self.blocks = nn.ModuleList(_GeneratorBlock(before, after, classes) for before, after in pairwise(widths))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.last = _convolution(widths[-1], 3, 3, gain=1.0)

    def forward(self, noise: Tensor, labels: Tensor | None) -> Tensor:
        """Generates images.

        Args:
            noise: (B, noise_size), normal.
            labels: Class numbers, (B,); None without classes.

        Returns:
            (B, 3, S, S), in [-1, 1].
        """
        hidden = self.first(noise).view(-1, self.first_width, FIRST_SIDE, FIRST_SIDE)
        hidden = hidden.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            hidden = block(hidden, labels)
        return torch.tanh(self.last(functional.relu(self.norm(hidden))))


class Discriminator(nn.Module):
    """Scores images, and how well they fit their class; every weight is divided by its largest singular value.

    Args:
        widths: Channels of every block.
        halvings: How many blocks, from the first, halve the side.
        classes: K; 0 without classes.
    """

    def __init__(self, widths: list[int], halvings: int, classes: int) -> None:
        super().__init__()
        pairs = zip([3, *widths], widths, strict=False)
        self.blocks = nn.ModuleList(
            _DiscriminatorBlock(before, after, index < halvings, index == 0)
            for index, (before, after) in enumerate(pairs)
        )
        self.last = _normalised(nn.Linear(widths[-1], 1))
        self.embedding = _normalised(nn.Embedding(classes, widths[-1])) if classes else None

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Scores images.

        Args:
            images: (B, 3, S, S), in [-1, 1].
            labels: Class numbers, (B,); None without classes.

        Returns:
            (B,), the higher the more real.
        """
        hidden = images
        for block in self.blocks:
            hidden = block(hidden)
        features = functional.relu(hidden).sum((2, 3))
        scores: Tensor = self.last(features).squeeze(1)
        if self.embedding is not None:
            scores = scores + (self.embedding(labels) * features).sum(1)
        return scores


@contextmanager
def normalised_once(network: nn.Module) -> Iterator[None]:
    """Normalises every weight once, in its own precision, for all calls inside; call it outside of autocast.

    Args:
        network: With spectral norm; in training mode one power iteration is done.

    Yields:
        Nothing.
    """
    with parametrize.cached():
        for module in network.modules():
            if parametrize.is_parametrized(module, "weight"):
                _ = module.weight
        yield


class _ClassNorm(nn.Module):
    """Batch norm whose scale and shift belong to the class; plain batch norm without classes."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=not classes)
        self.table = nn.Embedding(classes, 2 * channels) if classes else None
        if self.table is not None:
            with torch.no_grad():
                self.table.weight.copy_(torch.cat([torch.ones(channels), torch.zeros(channels)]))

    def forward(self, hidden: Tensor, labels: Tensor | None) -> Tensor:
        normal: Tensor = self.norm(hidden)
        if self.table is None:
            return normal
        scale, shift = self.table(labels)[:, :, None, None].chunk(2, dim=1)
        return scale * normal + shift


class _GeneratorBlock(nn.Module):
    def __init__(self, before: int, after: int, classes: int) -> None:
        super().__init__()
        self.first_norm, self.second_norm = _ClassNorm(before, classes), _ClassNorm(after, classes)
        self.first = _convolution(before, after, 3, gain=math.sqrt(2))
        self.second = _convolution(after, after, 3, gain=math.sqrt(2))
        self.shortcut = _convolution(before, after, 1, gain=1.0)

    def forward(self, hidden: Tensor, labels: Tensor | None) -> Tensor:
        """Doubles the side."""
        residual = self.first(_doubled(functional.relu(self.first_norm(hidden, labels))))
        residual = self.second(functional.relu(self.second_norm(residual, labels)))
        total: Tensor = residual + _doubled(self.shortcut(hidden))
        return total


class _DiscriminatorBlock(nn.Module):
    def __init__(self, before: int, after: int, halves: bool, is_first: bool) -> None:
        super().__init__()
        self.halves, self.is_first = halves, is_first
        inner = after if is_first else before
        self.first = _normalised(_convolution(before, inner, 3, gain=math.sqrt(2)))
        self.second = _normalised(_convolution(inner, after, 3, gain=math.sqrt(2)))
        is_plain = before == after and not halves
        self.shortcut = None if is_plain else _normalised(_convolution(before, after, 1, gain=1.0))

    def forward(self, hidden: Tensor) -> Tensor:
        """Halves the side where asked to."""
        inner = self.first(hidden if self.is_first else functional.relu(hidden))
        residual = self.second(functional.relu(inner))
        passed = hidden if self.shortcut is None else self.shortcut(hidden)
        total: Tensor = residual + passed
        return functional.avg_pool2d(total, 2) if self.halves else total


def _convolution(before: int, after: int, side: int, gain: float) -> nn.Conv2d:
    layer = nn.Conv2d(before, after, side, padding=side // 2)
    nn.init.xavier_uniform_(layer.weight, gain)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def _normalised(layer: Layer) -> Layer:
    return spectral_norm(layer)  # type: ignore[return-value]


def _doubled(hidden: Tensor) -> Tensor:
    return functional.interpolate(hidden, scale_factor=2, mode="nearest")
