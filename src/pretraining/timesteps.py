"""Which noise levels a diffusion model is trained on."""

import math
from typing import Protocol

import torch
from torch import Tensor

from src.core.errors import ConfigError


class Timesteps(Protocol):
    """Generates timesteps."""

    def sample(self, count: int, steps: int) -> Tensor:
        """Samples from torch's global stream.

        Args:
            count: How many.
            steps: T, the number of timesteps.

        Returns:
            (count,), int64, in [0, T), on the CPU.
        """
        ...


class UniformTimesteps:
    """Every noise level as often as every other (DDPM, Ho et al., 2020, arXiv:2006.11239, algorithm 1)."""

    def sample(self, count: int, steps: int) -> Tensor:
        """Samples; see Timesteps."""
        return torch.randint(steps, (count,))


class LogitNormalTimesteps:
    """More of the middle, where the picture is decided, than of the ends.

    Paper: Scaling Rectified Flow Transformers (Esser et al., 2024), arXiv:2403.03206, equation 19: the logit of t is
    normal.

    Args:
        mean: Of the logit; above 0 prefers more noise.
        std: Of the logit, > 0.

    Raises:
        ConfigError: A value cannot work.
    """

    def __init__(self, mean: float, std: float) -> None:
        if not (math.isfinite(mean) and 0 < std < math.inf):
            raise ConfigError(f"task.timesteps: mean={mean}, std={std}: expected a number, and one above 0")
        self.mean, self.std = mean, std

    def sample(self, count: int, steps: int) -> Tensor:
        """Samples; see Timesteps."""
        shares = torch.sigmoid(self.mean + self.std * torch.randn(count))
        return (shares * steps).long().clamp(max=steps - 1)
