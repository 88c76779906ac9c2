"""Losses on the UNet's prediction: tensors in, one number per sample out.

Symbols: x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise; snr = alpha_bar_t / (1 - alpha_bar_t).
"""

from typing import Protocol

import torch
from torch import Tensor

from src.core.errors import ConfigError


class DiffusionLoss(Protocol):
    """A loss per sample."""

    def __call__(self, prediction: Tensor, target: Tensor, snr: Tensor, prediction_type: str) -> Tensor:
        """Compares prediction and target.

        Args:
            prediction: The UNet's output, (B, C, h, w).
            target: Noise or velocity, (B, C, h, w).
            snr: At each sample's timestep, (B,), > 0.
            prediction_type: ``epsilon`` or ``v_prediction``.

        Returns:
            (B,), float32.
        """
        ...


class MSELoss:
    """Plain mean squared error.

    Paper: Denoising Diffusion Probabilistic Models (Ho et al., 2020), arXiv:2006.11239, equation 14.
    """

    def __call__(self, prediction: Tensor, target: Tensor, snr: Tensor, prediction_type: str) -> Tensor:  # noqa: ARG002
        """Averages the squared error over channels and latent cells; see DiffusionLoss."""
        return (prediction.float() - target.float()).square().flatten(1).mean(1)


class MinSNRLoss:
    """Mean squared error weighted by the clamped signal-to-noise ratio, so that low-noise steps do not dominate.

    Paper: Efficient Diffusion Training via Min-SNR Weighting Strategy (Hang et al., 2023), arXiv:2303.09556,
    section 3.4: min(snr, gamma) / snr for epsilon, min(snr, gamma) / (snr + 1) for velocity.

    Args:
        gamma: The clamp, > 0. The larger, the closer to plain MSE for epsilon.

    Raises:
        ConfigError: `gamma` is not positive.
    """

    def __init__(self, gamma: float) -> None:
        if not gamma > 0:
            raise ConfigError(f"loss.gamma={gamma}: expected a number above 0")
        self.gamma = gamma

    def __call__(self, prediction: Tensor, target: Tensor, snr: Tensor, prediction_type: str) -> Tensor:
        """Averages the weighted squared error over channels and latent cells; see DiffusionLoss."""
        divisor = snr if prediction_type == "epsilon" else snr + 1
        weight = snr.clamp(max=self.gamma) / divisor
        return MSELoss()(prediction, target, snr, prediction_type) * weight


def diffusion_target(
    latents: Tensor, noise: Tensor, alphas_cumprod: Tensor, timesteps: Tensor, prediction_type: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Adds noise and says what is to be predicted.

    Paper for velocity: Progressive Distillation (Salimans & Ho, 2022), arXiv:2202.00512, appendix D:
    v = sqrt(alpha_bar_t) noise - sqrt(1 - alpha_bar_t) x_0.

    Args:
        latents: x_0, (B, C, h, w).
        noise: (B, C, h, w), standard normal.
        alphas_cumprod: alpha_bar of every timestep, (T,).
        timesteps: (B,), int64.
        prediction_type: ``epsilon`` or ``v_prediction``.

    Returns:
        x_t (B, C, h, w), the target (B, C, h, w), and the signal-to-noise ratio (B,).

    Raises:
        ConfigError: The model predicts something else.
    """
    alpha_bar = alphas_cumprod.to(latents.device, torch.float32)[timesteps]
    signal, spread = (root.sqrt().view(-1, 1, 1, 1) for root in (alpha_bar, 1 - alpha_bar))
    if prediction_type == "epsilon":
        target = noise
    elif prediction_type == "v_prediction":
        target = signal * noise - spread * latents
    else:
        raise ConfigError(f"prediction_type {prediction_type!r}: expected epsilon or v_prediction")
    return signal * latents + spread * noise, target, alpha_bar / (1 - alpha_bar)
