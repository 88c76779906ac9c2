"""Rectified flow: Stable Diffusion 3, FLUX and what follows them."""

from typing import Any

import torch
from torch import Tensor

from src.core.errors import ConfigError
from src.noise.process import Noised


class RectifiedFlow:
    """Time runs from 0 (data) to 1 (noise): alpha_t = 1 - t, sigma_t = t, and the network predicts noise - x_0.

    Paper: Scaling Rectified Flow Transformers (Esser et al., 2024), arXiv:2403.03206: logit-normal times (equation 19,
    mean 0 and deviation 1), shifted for the resolution (section 5.3.2): t = shift u / (1 + (shift - 1) u).

    Args:
        shift: Of the model's own scheduler, > 0; 1 leaves times as they are.
        uniform: Take uniform times instead of logit-normal ones.

    Raises:
        ConfigError: It is not above 0.
    """

    def __init__(self, shift: float, uniform: bool = False) -> None:
        if not shift > 0:
            raise ConfigError(f"shift of the model's scheduler is {shift}: expected a number above 0")
        self.shift, self.uniform = shift, uniform

    @staticmethod
    def of(scheduler_config: Any, uniform: bool) -> "RectifiedFlow":
        """Reads the shift; a scheduler that shifts by resolution does so in sampling only, as in diffusers' scripts."""
        return RectifiedFlow(1.0 if scheduler_config.use_dynamic_shifting else float(scheduler_config.shift), uniform)

    def sample_time(self, random: torch.Generator) -> Tensor:
        """Samples a time in (0, 1], float32; see NoiseProcess."""
        if self.uniform:
            # at 0 the signal would be infinite; torch gives numbers in [0, 1)
            return self._shifted(1 - torch.rand(1, generator=random))
        return self._shifted(torch.sigmoid(torch.randn(1, generator=random)))

    def time_at(self, fraction: float) -> float:
        """Returns the shifted time; see NoiseProcess."""
        return float(self._shifted(torch.tensor(fraction, dtype=torch.float64)))

    def add_noise(self, x_0: Tensor, noise: Tensor, time: Tensor) -> Noised:
        """Adds noise; see NoiseProcess. `time` is float32 in (0, 1)."""
        t = time.view(-1, 1, 1, 1)
        return Noised((1 - t) * x_0 + t * noise, noise - x_0, ((1 - time) / time).square(), time.square().reciprocal())

    def _shifted(self, u: Tensor) -> Tensor:
        return self.shift * u / (1 + (self.shift - 1) * u)
