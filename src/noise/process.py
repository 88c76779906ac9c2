"""How a base model's images become noise in training. A model owns its process; losses and loops know no other time.

Symbols: x_0 clean latents, x_t = alpha_t x_0 + sigma_t noise, snr = (alpha_t / sigma_t)^2; B batch.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Noised:
    """Noisy latents, and what a network is to say of them.

    Attributes:
        x_t: (B, C, h, w), float32.
        target: What the network predicts, (B, C, h, w), float32.
        snr: Signal-to-noise ratio, (B,), >= 0.
        error_scale: Squared error of the prediction per squared error of the x_0 that it stands for, (B,), > 0.
        cells: How much each latent cell counts, (B, 1, h, w), of mean 1 in each sample; None for all alike.
    """

    x_t: Tensor
    target: Tensor
    snr: Tensor
    error_scale: Tensor
    cells: Tensor | None = None


class NoiseProcess(Protocol):
    """Time, noise and target of one kind of model."""

    def sample_time(self, random: torch.Generator) -> Tensor:
        """Samples a time to train on.

        Args:
            random: On the CPU.

        Returns:
            (1,), in whatever the model counts time.
        """
        ...

    def time_at(self, fraction: float) -> int | float:
        """Returns the time at a fraction of the way from data to noise, in [0, 1)."""
        ...

    def add_noise(self, x_0: Tensor, noise: Tensor, time: Tensor) -> Noised:
        """Adds noise and says what is to be predicted.

        Args:
            x_0: (B, C, h, w), float32.
            noise: (B, C, h, w), standard normal.
            time: (B,).

        Returns:
            The noisy latents with their target.
        """
        ...
