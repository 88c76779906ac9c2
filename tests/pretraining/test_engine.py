import pytest
import torch

from src.core.errors import ConfigError, ModelMismatchError, NonFiniteError
from src.pretraining.engine import Watch, train_from_noise
from src.pretraining.plan import Plan
from src.training.schedules import CosineSchedule
from src.training.state import StateFolder
from tests.pretraining.conftest import PLAN

SCHEDULE = CosineSchedule(2, 0.1)


class KilledError(Exception):
    """Stands for a kill."""


def train(task, folder, killed_after=None, measured="loss", log=None, sample=None):
    """Trains; with `killed_after` the update after so many raises."""
    state = StateFolder(folder)
    state.path.mkdir(parents=True, exist_ok=True)
    update = task.update

    def mortal(step):
        if step == killed_after:
            raise KilledError
        return update(step)

    task.update = mortal
    return train_from_noise(task, task.plan, SCHEDULE, 11, state, Watch(measured, log or print, sample))


def everything(task, folder):
    """Weights as left in the task (averaged where averaged), and all that the state file holds but the time it took."""
    weights = {f"{name}.{key}": value for name, net in task.networks.items() for key, value in net.state_dict().items()}
    saved = StateFolder(folder).load()
    assert saved is not None
    saved.scalars.pop("seconds")
    return {**weights, **{f"saved.{key}": value for key, value in saved.tensors.items()}}, saved.scalars


@pytest.mark.parametrize("kind", ["diffusion", "gan"])
def test_a_killed_run_resumes_to_the_same_bytes(kind, make_diffusion, make_gan, tmp_path):
    make = {"diffusion": make_diffusion, "gan": make_gan}[kind]
    straight = make()
    curves = train(straight, tmp_path / "straight")
    with pytest.raises(KilledError):
        train(make(), tmp_path / "killed", 4)
    assert StateFolder(tmp_path / "killed").load().step == 3
    resumed = make()
    assert train(resumed, tmp_path / "killed") == curves
    found, found_scalars = everything(resumed, tmp_path / "killed")
    wanted, wanted_scalars = everything(straight, tmp_path / "straight")
    assert found_scalars == wanted_scalars
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name


def test_time_is_that_of_all_processes_but_for_what_a_kill_lost(make_gan, tmp_path, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr("src.pretraining.engine.time.monotonic", lambda: next(clock))
    with pytest.raises(KilledError):
        train(make_gan(), tmp_path, 4)
    kept = StateFolder(tmp_path).load().scalars["seconds"]
    assert kept == 2  # read when it began, at the evaluation after step 2, and when step 3 was saved
    resumed = train(make_gan(), tmp_path)
    assert resumed.seconds == StateFolder(tmp_path).load().scalars["seconds"] == kept + 3
    assert train(make_gan(), tmp_path).seconds == resumed.seconds


def test_a_state_waits_for_a_full_row_and_no_longer(make_gan, tmp_path):
    with pytest.raises(KilledError):
        train(make_gan(plan={**PLAN, "log_every": 2}), tmp_path, 5)
    # due after 3, in the middle of a row
    assert StateFolder(tmp_path).load().step == 4


def test_other_measures_measure_anew_and_train_nothing(make_gan, tmp_path):
    first = train(make_gan(), tmp_path)
    task = make_gan()
    task.evaluate = lambda: {"other": float(task.generator.training)}
    again = train(task, tmp_path, 0, "other")
    assert again.losses == first.losses
    assert again.evaluations == [{"step": 6, "other": 1.0}]
    # what is saved goes with the measure
    assert train(make_gan(), tmp_path, 0, "other").evaluations == again.evaluations


def test_resuming_keeps_moments_laid_out_as_parameters(make_gan, tmp_path):
    with pytest.raises(KilledError):
        train(make_gan(), tmp_path, 4)
    task = make_gan()
    with pytest.raises(KilledError):
        train(task, tmp_path, 5)
    for optimizer in task.optimizers.values():
        for parameter, memory in optimizer.state.items():
            assert memory["exp_avg"].stride() == parameter.stride()


def test_average_follows_the_weights_and_is_what_remains(make_diffusion, tmp_path):
    task = make_diffusion(plan={**PLAN, "steps": 1, "ema_decay": 0.9})
    before = task.unet.conv_in.weight.detach().clone()
    train(task, tmp_path)
    after = StateFolder(tmp_path).load().tensors["network.unet.conv_in.weight"]
    # the first step's decay is min(0.9, (1 + 0) / (10 + 0))
    torch.testing.assert_close(task.unet.conv_in.weight, 0.1 * before + 0.9 * after)
    assert not torch.equal(before, after)


def test_only_the_generator_is_averaged(make_gan, tmp_path):
    train(make_gan(), tmp_path)
    averaged = {key.split(".")[1] for key in StateFolder(tmp_path).load().tensors if key.startswith("ema.")}
    assert averaged == {"generator"}


def test_learning_rates_follow_factor_and_schedule(make_gan, tmp_path):
    task = make_gan(plan={**PLAN, "steps": 1})
    train(task, tmp_path)
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in task.optimizers.items()}
    # one of three steps of the warm-up: 1e-2 / 3; the discriminator's factor is 2
    assert rates == pytest.approx({"generator": 1e-2 / 3, "discriminator": 2e-2 / 3})


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_state(make_diffusion, tmp_path, monkeypatch):
    task = make_diffusion()
    update = task.update

    def spoilt(step):
        losses = update(step)
        return {**losses, "loss": losses["loss"] / 0} if step == 4 else losses

    monkeypatch.setattr(task, "update", spoilt)
    with pytest.raises(NonFiniteError, match="before step 5"):
        train(task, tmp_path)
    assert StateFolder(tmp_path).load().step == 3


def test_a_state_of_other_weights_is_refused(make_gan, tmp_path):
    with pytest.raises(KilledError):
        train(make_gan(), tmp_path, 4)
    with pytest.raises(ModelMismatchError, match="no fitting generator"):
        train(make_gan(generator_widths=[8, 16]), tmp_path)


@pytest.mark.parametrize(
    "change", [{"steps": 0}, {"ema_decay": 1.0}, {"lr": 0.0}, {"mixed_precision": "fp16"}, {"save_every": 0}]
)
def test_plan_refuses_values_out_of_range(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        Plan(**{**PLAN, **change})
