"""Optimizers that find their rate or average the weights: what is validated and saved, and resuming to the bit."""

from functools import cache

import pytest
import torch
from prodigyopt import Prodigy
from schedulefree import AdamWScheduleFree

from src.core.building import build
from src.core.config import load_settings
from src.core.errors import ConfigError
from src.methods.lora_files import WEIGHTS
from src.models.tensors import load_tensors
from src.stages.training_checks import build_optimizer, check_rates, check_settings
from src.training.loop import train
from src.training.schedule_free import at_average
from tests.training.test_every_method import make

RATES = {"prodigy": 1.0, "schedule_free": 1e-2}


@cache
def made(name):
    return build(load_settings(["model=tiny", f"optimizer={name}"]).optimizer, "optimizer")


@pytest.mark.parametrize(("name", "kind"), [("prodigy", Prodigy), ("schedule_free", AdamWScheduleFree)])
def test_a_killed_run_ends_as_an_uninterrupted_one(make_run, tmp_path, name, kind):
    """Looks and saves at steps of their own, so that a detour by the average would show."""
    options = {"optimizer": made(name), "lr": RATES[name], "checkpoint_every": 2, "val_every": 1, "save_every": 1}
    run = make_run(state="whole", **options)
    assert isinstance(run.optimizer.optimizer, kind)
    whole = train(run)
    for steps in (1, 3, 4):
        train(make_run(state="parts", steps=steps, **options))
    resumed = train(make_run(state="parts", **options))
    assert whole.tensors.keys() == resumed.tensors.keys()
    assert all(torch.equal(tensor, resumed.tensors[key]) for key, tensor in whole.tensors.items())
    assert (whole.scalars, whole.losses) == (resumed.scalars, resumed.losses)
    files = [tmp_path / state / "checkpoints/step-000006" / WEIGHTS for state in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert len({row["val_loss"] for row in whole.validations}) > 1


def test_looking_changes_no_weight_of_a_schedule_free_training(make_run):
    options = {"optimizer": made("schedule_free"), "checkpoint_every": 6}
    often = train(make_run(state="often", val_every=1, **options))
    seldom = train(make_run(state="seldom", val_every=6, save_every=6, **options))
    assert all(torch.equal(tensor, seldom.tensors[key]) for key, tensor in often.tensors.items())


def test_schedule_free_follows_the_paper_and_a_checkpoint_holds_its_average(make_run, tmp_path):
    """Equations 2 to 4: y = (1 - beta) z + beta x; z steps by the gradient at y; x is the mean of all z after it."""
    torch.manual_seed(0)
    target, parameter = torch.randn(5), torch.nn.Parameter(torch.zeros(5))
    options = {"weight_decay": 0.0, "betas": (0.9, 0.99)}
    optimizer = AdamWScheduleFree([{"params": [parameter], "lr": 0.1}], **options)
    optimizer.train()
    x, z, second = torch.zeros(5), torch.zeros(5), torch.zeros(5)
    for step in range(1, 8):
        y = 0.1 * z + 0.9 * x
        torch.testing.assert_close(parameter.detach(), y, rtol=1e-5, atol=1e-6)
        gradient = y - target
        second = 0.99 * second + 0.01 * gradient**2
        z = z - 0.1 * gradient / ((second / (1 - 0.99**step)).sqrt() + 1e-8)
        x = x + (z - x) / step
        parameter.grad = parameter.detach() - target
        optimizer.step()
        trained = parameter.detach().clone()
        with at_average(optimizer):
            torch.testing.assert_close(parameter.detach(), x, rtol=1e-5, atol=1e-6)
        assert torch.equal(parameter.detach(), trained)

    state = train(make_run(optimizer=made("schedule_free")))
    saved = load_tensors(tmp_path / "state/checkpoints/step-000006" / WEIGHTS)[0]
    names = [name for name in state.tensors if not name.startswith("optimizer.")]
    for index, name in enumerate(names):
        x = saved[name.replace(".default", "")]
        mixed = 0.9 * x + 0.1 * state.tensors[f"optimizer.{index}.z"]
        torch.testing.assert_close(state.tensors[name], mixed, rtol=1e-4, atol=1e-6)
        assert "lora_B" not in name or not torch.equal(state.tensors[name], x)


def test_prodigy_takes_steps_of_adam_at_the_rate_that_it_has_found():
    """Mishchenko & Defazio (2023), algorithm 4: moments of d g and d^2 g^2, and a step of d m / sqrt(v)."""
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(5))
    begin = parameter.detach().clone()
    optimizer = Prodigy([{"params": [parameter], "lr": 1.0}], betas=(0.9, 0.99), d0=1e-3)
    rates, first, second, x = [], torch.zeros(5), torch.zeros(5), begin.clone()
    beta3, above, below = 0.99**0.5, 0.0, torch.zeros(5)
    for _ in range(6):
        d = optimizer.param_groups[0]["d"]
        gradient = 3 * parameter.detach()
        parameter.grad = gradient.clone()
        optimizer.step()
        above = beta3 * above + d / 1e-3 * d * float(gradient @ (begin - x))
        below = beta3 * below + d / 1e-3 * d * gradient
        found = max(d, above / float(below.abs().sum()))
        first = 0.9 * first + 0.1 * d * gradient
        second = 0.99 * second + 0.01 * d**2 * gradient**2
        assert optimizer.param_groups[0]["d"] == pytest.approx(found, rel=1e-5)
        x = x - d * first / (second.sqrt() + found * 1e-8)
        torch.testing.assert_close(parameter.detach(), x, rtol=1e-4, atol=1e-6)
        rates.append(found)
    assert rates[-1] > 5 * rates[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimizer=prodigy", "lr=1e-4"], "lr=0.0001: this optimizer finds the rate itself .* expected about 1"),
        (["optimizer=prodigy", "lr=0"], "lr=0: this optimizer finds"),
        (["optimizer=prodigy", "lr=1", "optimizer.d0=0"], "optimizer: Invalid d0"),
        (["optimizer=schedule_free", "train.ema_decay=0.9"], r"train\.ema_decay=0\.9: this optimizer keeps an average"),
        (["optimizer=schedule_free", "lr_schedule=cosine"], "lr_schedule: .*expected constant"),
        (["optimizer=schedule_free", "optimizer.betas=[0.0,0.999]"], r"optimizer\.betas: .* above 0"),
    ],
)
def test_what_cannot_work_is_refused_before_a_model_loads(words, message):
    with pytest.raises(ConfigError, match=message):
        check_settings(load_settings(["model=tiny", *words]), make("lora"))


@pytest.mark.parametrize(
    "words", [["optimizer=prodigy", "lr=1"], ["optimizer=schedule_free", "lr_schedule.warmup_steps=10"]]
)
def test_what_can_work_is_not(tiny_models, words):
    settings = load_settings(["model=tiny", f"model.id={tiny_models / 'sd1'}", "train.sample_every=0", *words])
    check_settings(settings, make("lora"))


def test_prodigy_is_not_given_several_rates():
    settings = load_settings(["model=tiny", "optimizer=prodigy"]).optimizer
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (1.0, 0.5)]
    with pytest.raises(ConfigError, match=r"lr=1, 0\.5: .*the same for all parts"):
        check_rates(build_optimizer(settings, groups), [1.0, 0.5])
