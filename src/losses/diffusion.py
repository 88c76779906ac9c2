"""Losses on a denoiser's prediction: tensors in, one number per sample out."""

from typing import Protocol

from torch import Tensor

from src.core.errors import ConfigError
from src.noise.process import Noised


class DiffusionLoss(Protocol):
    """A loss per sample."""

    def __call__(self, prediction: Tensor, noised: Noised) -> Tensor:
        """Compares prediction and target.

        Args:
            prediction: The network's output, (B, C, h, w).
            noised: What it was to predict, and at which signal-to-noise ratio.

        Returns:
            (B,), float32.
        """
        ...


class MSELoss:
    """Plain mean squared error.

    Paper: Denoising Diffusion Probabilistic Models (Ho et al., 2020), arXiv:2006.11239, equation 14.
    """

    def __call__(self, prediction: Tensor, noised: Noised) -> Tensor:
        """Averages the squared error over channels and latent cells, as these are weighted; see DiffusionLoss."""
        error = (prediction.float() - noised.target.float()).square()
        return (error if noised.cells is None else error * noised.cells).flatten(1).mean(1)


class MinSNRLoss:
    """Mean squared error weighted by the clamped signal-to-noise ratio, so that low-noise steps do not dominate.

    Paper: Efficient Diffusion Training via Min-SNR Weighting Strategy (Hang et al., 2023), arXiv:2303.09556,
    section 3.4: min(snr, gamma) on the squared error of x_0, hence min(snr, gamma) / snr for noise and
    min(snr, gamma) / (snr + 1) for velocity.

    Args:
        gamma: The clamp, > 0. The larger, the closer to plain MSE for noise.

    Raises:
        ConfigError: `gamma` is not positive.
    """

    def __init__(self, gamma: float) -> None:
        if not gamma > 0:
            raise ConfigError(f"loss.gamma={gamma}: expected a number above 0")
        self.gamma = gamma

    def __call__(self, prediction: Tensor, noised: Noised) -> Tensor:
        """Averages the weighted squared error over channels and latent cells; see DiffusionLoss."""
        return MSELoss()(prediction, noised) * (noised.snr.clamp(max=self.gamma) / noised.error_scale)


class DebiasedLoss:
    """Mean squared error weighted so that noisy steps, where an error of x_0 is largest, are not passed over.

    Paper: Debias the Training of Diffusion Models (Yu et al., 2023), arXiv:2310.08442: 1 / sqrt(snr) on the squared
    error of the noise. That is sqrt(snr) on the squared error of x_0, which says the weight for velocity and flow, too.
    """

    def __call__(self, prediction: Tensor, noised: Noised) -> Tensor:
        """Averages the weighted squared error over channels and latent cells; see DiffusionLoss."""
        return MSELoss()(prediction, noised) * (noised.snr.sqrt() / noised.error_scale)
