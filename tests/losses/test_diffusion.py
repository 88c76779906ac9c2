import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr

from src.core.errors import ConfigError
from src.losses.diffusion import MinSNRLoss, MSELoss, diffusion_target


@pytest.fixture
def case():
    torch.manual_seed(0)
    latents, noise, prediction = torch.randn(3, 6, 4, 8, 8)
    return latents, noise, prediction, torch.tensor([0, 10, 250, 500, 900, 999])


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_diffusion_target_agrees_with_diffusers(case, prediction_type):
    latents, noise, _, timesteps = case
    scheduler = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    noisy, target, snr = diffusion_target(latents, noise, scheduler.alphas_cumprod, timesteps, prediction_type)
    torch.testing.assert_close(noisy, scheduler.add_noise(latents, noise, timesteps))
    velocity = scheduler.get_velocity(latents, noise, timesteps)
    torch.testing.assert_close(target, noise if prediction_type == "epsilon" else velocity)
    torch.testing.assert_close(snr, compute_snr(scheduler, timesteps), rtol=1e-4, atol=0)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_min_snr_agrees_with_the_formula_of_diffusers_scripts(case, prediction_type):
    latents, noise, prediction, timesteps = case
    alphas = DDPMScheduler().alphas_cumprod
    _, target, snr = diffusion_target(latents, noise, alphas, timesteps, prediction_type)
    weights = torch.stack([snr, 5.0 * torch.ones_like(snr)], dim=1).min(dim=1)[0]
    weights = weights / (snr if prediction_type == "epsilon" else snr + 1)
    expected = (prediction - target).square().mean((1, 2, 3)) * weights
    torch.testing.assert_close(MinSNRLoss(5.0)(prediction, target, snr, prediction_type), expected)


def test_min_snr_equals_mse_when_gamma_is_huge(case):
    latents, noise, prediction, timesteps = case
    _, target, snr = diffusion_target(latents, noise, DDPMScheduler().alphas_cumprod, timesteps, "epsilon")
    torch.testing.assert_close(
        MinSNRLoss(1e9)(prediction, target, snr, "epsilon"), MSELoss()(prediction, target, snr, "epsilon")
    )


def test_unknown_prediction_type_is_refused(case):
    latents, noise, _, timesteps = case
    with pytest.raises(ConfigError, match="sample"):
        diffusion_target(latents, noise, DDPMScheduler().alphas_cumprod, timesteps, "sample")


@pytest.mark.parametrize("gamma", [0.0, -1.0, float("nan")])
def test_min_snr_refuses_gamma(gamma):
    with pytest.raises(ConfigError, match="gamma"):
        MinSNRLoss(gamma)
