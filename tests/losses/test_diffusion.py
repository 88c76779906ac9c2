from dataclasses import replace

import pytest
import torch
from diffusers import DDPMScheduler

from src.core.errors import ConfigError
from src.losses.diffusion import DebiasedLoss, MinSNRLoss, MSELoss
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


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_debiased_agrees_with_the_formula_of_the_paper(case, prediction_type):
    """1 / sqrt(snr) on the noise; velocity is the noise with its x_0: eps = (v + sigma x_0) / alpha."""
    latents, noise, prediction, timesteps = case
    alpha_bar = DDPMScheduler().alphas_cumprod[timesteps].double()
    noised = DiscreteDiffusion(DDPMScheduler().alphas_cumprod, prediction_type).add_noise(latents, noise, timesteps)
    error = (prediction - noised.target).square().mean((1, 2, 3))
    if prediction_type == "v_prediction":
        # an error of x_0 is sigma times one of velocity, and one of the noise alpha / sigma times that of x_0
        error = error * alpha_bar
    expected = error / (alpha_bar / (1 - alpha_bar)).sqrt()
    torch.testing.assert_close(DebiasedLoss()(prediction, noised), expected.float(), rtol=1e-4, atol=0)


def test_debiased_weighs_a_flow_by_its_x_0(case):
    latents, noise, prediction, _ = case
    time = torch.tensor([0.05, 0.2, 0.4, 0.6, 0.8, 0.95])
    noised = RectifiedFlow(1.0).add_noise(latents, noise, time)
    expected = (prediction - noised.target).square().mean((1, 2, 3)) * time**2 * (1 - time) / time
    torch.testing.assert_close(DebiasedLoss()(prediction, noised), expected)


@pytest.mark.parametrize("loss", [MSELoss(), MinSNRLoss(5.0), DebiasedLoss()])
def test_every_loss_counts_cells_as_they_are_weighted(case, loss):
    latents, noise, prediction, timesteps = case
    noised = DiscreteDiffusion(DDPMScheduler().alphas_cumprod, "epsilon").add_noise(latents, noise, timesteps)
    half = torch.zeros(6, 1, 8, 8)
    half[..., :4] = 2
    left = replace(noised, target=noised.target[..., :4])
    torch.testing.assert_close(
        loss(prediction, replace(noised, cells=half)), loss(prediction[..., :4], left), rtol=1e-5, atol=1e-6
    )
    assert torch.equal(loss(prediction, replace(noised, cells=torch.ones(6, 1, 8, 8))), loss(prediction, noised))
