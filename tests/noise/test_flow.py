import math

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from src.core.errors import ConfigError
from src.noise.flow import RectifiedFlow


def test_noise_agrees_with_diffusers_and_the_target_leads_back():
    torch.manual_seed(0)
    x_0, noise = torch.randn(2, 3, 16, 8, 8)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    steps = scheduler.timesteps[[10, 500, 990]]
    time = scheduler.sigmas[[10, 500, 990]]
    noised = RectifiedFlow(3.0).add_noise(x_0, noise, time)
    torch.testing.assert_close(noised.x_t, scheduler.scale_noise(x_0, steps, noise))
    torch.testing.assert_close(noised.x_t - time.view(-1, 1, 1, 1) * noised.target, x_0, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(noised.snr, ((1 - time) / time) ** 2)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_times_are_logit_normal_and_shifted(shift):
    """Undone, the shift leaves a logit of mean 0 and deviation 1."""
    process, random = RectifiedFlow(shift), torch.Generator().manual_seed(0)
    generated = torch.cat([process.sample_time(random) for _ in range(4000)])
    assert 0 < generated.min() < generated.max() < 1
    logits = torch.logit(generated / (shift - (shift - 1) * generated))
    assert abs(float(logits.mean())) < 0.05
    assert float(logits.std()) == pytest.approx(1, abs=0.05)


def test_held_out_times_are_those_of_the_sampler():
    sampler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    for index in (0, 249, 749):
        found = RectifiedFlow(3.0).time_at(1 - index / 1000)
        assert found == pytest.approx(float(sampler.sigmas[index]), abs=1e-6)


@pytest.mark.parametrize("shift", [0.0, -1.0, math.nan])
def test_a_shift_that_is_none_is_refused(shift):
    with pytest.raises(ConfigError, match="shift"):
        RectifiedFlow(shift)
