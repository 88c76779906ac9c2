import pytest
import torch
from diffusers import DDPMScheduler

from src.core.errors import ConfigError
from src.losses.diffusion import MinSNRLoss, MSELoss
from src.noise.diffusion import DiscreteDiffusion
from src.noise.flow import RectifiedFlow


@pytest.fixture
def case():
    torch.manual_seed(0)
    latents, noise, prediction = torch.randn(3, 6, 4, 8, 8)
    return latents, noise, prediction, torch.tensor([0, 10, 250, 500, 900, 999])


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_min_snr_agrees_with_the_formula_of_diffusers_scripts(case, prediction_type):
    latents, noise, prediction, timesteps = case
    noised = DiscreteDiffusion(DDPMScheduler().alphas_cumprod, prediction_type).add_noise(latents, noise, timesteps)
    weights = torch.stack([noised.snr, 5.0 * torch.ones_like(noised.snr)], dim=1).min(dim=1)[0]
    weights = weights / (noised.snr if prediction_type == "epsilon" else noised.snr + 1)
    expected = (prediction - noised.target).square().mean((1, 2, 3)) * weights
    torch.testing.assert_close(MinSNRLoss(5.0)(prediction, noised), expected)


def test_min_snr_weighs_the_error_of_x_0_whatever_is_predicted(case):
    """The same error of x_0 costs the same, said as noise, as velocity and as flow at one signal-to-noise ratio."""
    latents, noise, _, _ = case
    alphas = DDPMScheduler().alphas_cumprod
    step, error = torch.full((6,), 400), torch.randn(6, 4, 8, 8)
    alpha, sigma = alphas[400].sqrt(), (1 - alphas[400]).sqrt()
    flow_time = (sigma / (alpha + sigma)).expand(6)
    losses = []
    for process, time, per_x_0 in (
        (DiscreteDiffusion(alphas, "epsilon"), step, -alpha / sigma),
        (DiscreteDiffusion(alphas, "v_prediction"), step, -1 / sigma),
        (RectifiedFlow(1.0), flow_time, -1 / flow_time[0]),
    ):
        noised = process.add_noise(latents, noise, time)
        losses.append(MinSNRLoss(5.0)(noised.target + per_x_0 * error, noised))
    torch.testing.assert_close(losses[1], losses[0])
    torch.testing.assert_close(losses[2], losses[0])


def test_min_snr_equals_mse_when_gamma_is_huge(case):
    latents, noise, prediction, timesteps = case
    noised = DiscreteDiffusion(DDPMScheduler().alphas_cumprod, "epsilon").add_noise(latents, noise, timesteps)
    torch.testing.assert_close(MinSNRLoss(1e9)(prediction, noised), MSELoss()(prediction, noised))


@pytest.mark.parametrize("gamma", [0.0, -1.0, float("nan")])
def test_min_snr_refuses_gamma(gamma):
    with pytest.raises(ConfigError, match="gamma"):
        MinSNRLoss(gamma)
