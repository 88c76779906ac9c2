import pytest
import torch

from src.core.errors import ConfigError
from src.pretraining.timesteps import LogitNormalTimesteps, UniformTimesteps

COUNT, STEPS = 20_000, 1000


def test_uniform_timesteps_are_torchs_own():
    torch.manual_seed(0)
    generated = UniformTimesteps().sample(COUNT, STEPS)
    torch.manual_seed(0)
    assert torch.equal(generated, torch.randint(STEPS, (COUNT,)))


@pytest.mark.parametrize("mean", [0.0, 0.5])
def test_logits_of_timesteps_are_normal(mean):
    torch.manual_seed(0)
    generated = LogitNormalTimesteps(mean, 1.0).sample(COUNT, STEPS)
    assert generated.dtype == torch.int64
    assert int(generated.min()) >= 0
    assert int(generated.max()) < STEPS
    logits = torch.logit((generated + 0.5) / STEPS)
    assert float(logits.mean()) == pytest.approx(mean, abs=0.03)
    assert float(logits.std()) == pytest.approx(1, abs=0.03)


def test_values_that_cannot_work_are_refused():
    with pytest.raises(ConfigError, match=r"task\.timesteps: mean=0, std=0"):
        LogitNormalTimesteps(0, 0)
