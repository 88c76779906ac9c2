"""Denoising diffusion in discrete steps: SD1.x, SD2.x, SDXL."""

from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import Tensor

from src.core.errors import ConfigError
from src.noise.process import Noised

PREDICTIONS = ("epsilon", "v_prediction")


class DiscreteDiffusion:
    """Steps 0 to T - 1 with alpha_t = sqrt(alpha_bar_t) and sigma_t = sqrt(1 - alpha_bar_t).

    Papers: Denoising Diffusion Probabilistic Models (Ho et al., 2020), arXiv:2006.11239; for velocity Progressive
    Distillation (Salimans & Ho, 2022), arXiv:2202.00512, appendix D: v = alpha_t noise - sigma_t x_0.

    Args:
        alphas_cumprod: alpha_bar of every step, (T,), float32, in (0, 1].
        prediction_type: ``epsilon`` or ``v_prediction``.

    Raises:
        ConfigError: The model predicts something else.
    """

    def __init__(self, alphas_cumprod: Tensor, prediction_type: str) -> None:
        if prediction_type not in PREDICTIONS:
            raise ConfigError(f"prediction_type {prediction_type!r}: expected {' or '.join(PREDICTIONS)}")
        self.alphas_cumprod = alphas_cumprod.float()
        self.prediction_type = prediction_type

    @staticmethod
    def of(scheduler_config: Any, device: torch.device) -> "DiscreteDiffusion":
        """Reads the process from a scheduler's configuration, zero-terminal SNR included."""
        scheduler = DDPMScheduler.from_config(scheduler_config)
        return DiscreteDiffusion(scheduler.alphas_cumprod.to(device), scheduler.config.prediction_type)

    def sample_time(self, random: torch.Generator) -> Tensor:
        """Samples uniformly from the steps, int64; see NoiseProcess."""
        return torch.randint(len(self.alphas_cumprod), (1,), generator=random)

    def time_at(self, fraction: float) -> int:
        """Returns a step; see NoiseProcess."""
        return int(fraction * len(self.alphas_cumprod))

    def add_noise(self, x_0: Tensor, noise: Tensor, time: Tensor) -> Noised:
        """Adds noise; see NoiseProcess. `time` is int64 in [0, T)."""
        alpha_bar = self.alphas_cumprod.to(x_0.device)[time]
        alpha_t, sigma_t = (root.sqrt().view(-1, 1, 1, 1) for root in (alpha_bar, 1 - alpha_bar))
        snr = alpha_bar / (1 - alpha_bar)
        x_t = alpha_t * x_0 + sigma_t * noise
        if self.prediction_type == "epsilon":
            return Noised(x_t, noise, snr, snr)
        return Noised(x_t, alpha_t * noise - sigma_t * x_0, snr, snr + 1)
