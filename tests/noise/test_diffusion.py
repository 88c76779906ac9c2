import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from diffusers.training_utils import compute_snr

from src.core.errors import ConfigError
from src.noise.diffusion import DiscreteDiffusion

TIMES = torch.tensor([0, 10, 250, 500, 900, 999])


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_noise_and_target_agree_with_diffusers(prediction_type):
    torch.manual_seed(0)
    x_0, noise = torch.randn(2, 6, 4, 8, 8)
    scheduler = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    noised = DiscreteDiffusion(scheduler.alphas_cumprod, prediction_type).add_noise(x_0, noise, TIMES)
    torch.testing.assert_close(noised.x_t, scheduler.add_noise(x_0, noise, TIMES))
    velocity = scheduler.get_velocity(x_0, noise, TIMES)
    torch.testing.assert_close(noised.target, noise if prediction_type == "epsilon" else velocity)
    torch.testing.assert_close(noised.snr, compute_snr(scheduler, TIMES), rtol=1e-4, atol=0)


def test_terminal_signal_of_a_models_own_schedule_is_kept():
    """Common Diffusion Noise Schedules and Sample Steps are Flawed (Lin et al., 2023), arXiv:2305.08891."""
    config = DDIMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True).config
    process = DiscreteDiffusion.of(config, torch.device("cpu"))
    noised = process.add_noise(torch.ones(1, 4, 8, 8), torch.zeros(1, 4, 8, 8), torch.tensor([999]))
    assert noised.snr < 1e-6
    assert noised.x_t.abs().max() < 1e-3


def test_times_are_uniform_steps():
    process = DiscreteDiffusion(torch.linspace(0.99, 0.01, 10), "epsilon")
    random = torch.Generator().manual_seed(0)
    generated = torch.cat([process.sample_time(random) for _ in range(2000)])
    assert generated.dtype == torch.int64
    assert torch.bincount(generated, minlength=10).min() > 150
    assert [process.time_at(fraction) for fraction in (0.0, 0.25, 0.99)] == [0, 2, 9]


def test_other_predictions_are_refused():
    with pytest.raises(ConfigError, match="sample"):
        DiscreteDiffusion(DDPMScheduler().alphas_cumprod, "sample")
