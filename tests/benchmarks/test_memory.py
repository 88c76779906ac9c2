import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.bench_memory import Alive, as_on_a_gpu, counted, main, need
from src.core.config import load_settings


def test_what_is_alive_at_once_counts_and_weights_and_what_died_do_not():
    with FakeTensorMode():
        module = torch.nn.Linear(8, 4, bias=False)

        def forward():
            x = torch.empty(16, 8)
            return module(x)

        def chain():
            x = torch.empty(16, 8)
            for _ in range(5):
                x = x * 2
            return x.view(8, 16)

        assert counted(module, forward) == 16 * 8 * 4 + 16 * 4 * 4
        assert counted(module, chain) == 2 * 16 * 8 * 4
        with Alive(module) as alive:
            kept = chain()
        assert (alive.now, kept.shape) == (16 * 8 * 4, (8, 16))


def test_norms_are_computed_in_float32_as_autocast_does_on_a_gpu():
    x = torch.ones(1, 4, 2, dtype=torch.bfloat16)
    with as_on_a_gpu():
        assert torch.nn.GroupNorm(2, 4).bfloat16()(x).dtype == torch.float32
        assert torch.nn.LayerNorm(2).bfloat16()(x).dtype == torch.float32
    assert torch.nn.GroupNorm(2, 4).bfloat16()(x).dtype == torch.bfloat16


@pytest.mark.slow
def test_the_figures_of_a_preset_are_those_that_are_counted():
    preset = load_settings(["model=sd15", "memory=gb12", "subject=toy"]).memory.presets["gb12"]
    assert need("sd15", "memory=gb12") == pytest.approx((preset.train_gib, preset.generate_gib), abs=0.051)


def test_a_base_without_presets_is_refused():
    with pytest.raises(SystemExit, match="sd16: expected of sd15, sd21"):
        main(["sd16"])
