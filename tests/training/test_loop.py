import math

import pytest
import torch

from src.core.errors import ConfigError, ModelMismatchError, NonFiniteError
from src.methods.base import ParameterGroup
from src.methods.combined import CombinedMethod
from src.methods.lora_files import WEIGHTS
from src.methods.own_weights import OwnWeightsMethod
from src.methods.textual_inversion import TextualInversionMethod
from src.models.base import Denoiser
from src.models.tensors import load_tensors
from src.training.determinism import set_deterministic
from src.training.loop import train
from src.training.run import TrainPlan
from src.training.validation import validate
from tests.training.conftest import PLAN


class KilledError(RuntimeError):
    """Stands for a process that ends in the middle of a run."""


def kill_at(step):
    def log(done, _values):
        if done == step:
            raise KilledError

    return log


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("kind", "text", "prior", "dropout", "ema_decay"),
    [
        ("sd1", False, False, 0.0, 0.0),
        ("sd1", False, False, 0.0, 0.9),
        ("sdxl", True, True, 0.2, 0.9),
        ("sd3", False, True, 0.0, 0.0),
        ("flux", False, False, 0.0, 0.9),
    ],
)
def test_killed_run_ends_as_an_uninterrupted_one(make_run, kind, text, prior, dropout, ema_decay):
    options = {"kind": kind, "text": text, "prior": prior, "dropout": dropout, "prior_weight": float(prior)}
    options["ema_decay"] = ema_decay
    whole = train(make_run(state="whole", **options))
    for step in (1, 3, 5):
        with pytest.raises(KilledError):
            train(make_run(state="killed", log=kill_at(step), **options))
    run = make_run(state="killed", **options)
    resumed = train(run)
    assert same(whole.tensors, resumed.tensors)
    assert whole.losses == resumed.losses
    assert whole.validations == resumed.validations
    for step in (3, 6):
        files = [
            run.state.path.parent / name / f"checkpoints/step-{step:06d}" / WEIGHTS for name in ("whole", "killed")
        ]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_same_seed_gives_the_same_losses(make_run):
    assert train(make_run(state="a")).losses == train(make_run(state="b")).losses


def test_finished_run_is_not_repeated(make_run):
    train(make_run())
    again = train(make_run(log=kill_at(1)))
    assert again.step == 6


def test_accumulation_does_not_change_the_losses(make_run):
    whole, split = (train(make_run(state=str(n), accumulation=n)) for n in (1, 2))
    for a, b in zip(whole.losses, split.losses, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
        assert a["grad_norm_unet"] == pytest.approx(b["grad_norm_unet"], rel=1e-3)


def test_loss_falls_on_the_training_photos(make_run):
    losses = [row["loss"] for row in train(make_run(steps=60, checkpoint_every=60, save_every=60, val_every=60)).losses]
    assert sum(losses[-20:]) < sum(losses[:20])


def test_learning_rate_zero_changes_no_weight(make_run):
    run = make_run(lr=0.0)
    before = {name: p.detach().clone() for g in run.groups for name, p in g.parameters.items()}
    state = train(run)
    assert all(torch.equal(before[name], state.tensors[name]) for name in before)
    assert len({row["val_loss"] for row in state.validations}) == 1


def words():
    return TextualInversionMethod("sksToy", 1, "toy", 5e-3)


@pytest.mark.parametrize(
    "method",
    [
        None,
        OwnWeightsMethod(None, 0.05),
        CombinedMethod([OwnWeightsMethod(["attn2.to_k", "attn2.to_v"], 1.0), words()]),
    ],
    ids=["lora", "dreambooth", "custom_diffusion"],
)
def test_what_the_base_says_of_the_class_is_kept(make_run, load_tiny, method):
    def moved(state, **options):
        """How far the prediction for the class has moved, and the losses."""
        text = bool(method and method.trains_text)
        run = make_run(method=method, text=text, state=state, steps=12, checkpoint_every=12, **options)
        rows = train(run).losses
        model, base = run.module.eval()._model, load_tiny("sd1")
        x_t, time, size = torch.ones(1, 4, 8, 8), torch.tensor([400]), torch.full((1, 2), 64.0)
        said = [
            Denoiser(each, False, False)(x_t, time, each.encode_text(["a toy"]), size).detach()
            for each in (model, base)
        ]
        return float((said[0] - said[1]).square().mean()), rows

    free, _ = moved("free")
    kept, rows = moved("kept", prior_weight=5.0, prior_caption="a toy")
    assert rows[0]["loss_prior"] == pytest.approx(0, abs=1e-9), "nothing has moved yet"
    assert rows[-1]["loss_prior"] > 0
    assert kept < 0.7 * free
    again, resumed = moved("kept", prior_weight=5.0, prior_caption="a toy")
    assert (again, resumed) == (kept, rows)


def test_prior_loss_is_added_with_its_weight(make_run):
    for row in train(make_run(prior=True, prior_weight=0.5)).losses:
        assert row["loss"] == pytest.approx(row["loss_instance"] + 0.5 * row["loss_prior"], rel=1e-5)


def test_parts_have_curves_of_their_own(make_run):
    state = train(make_run(kind="sdxl", text=True))
    assert {"grad_norm_unet", "grad_norm_text_encoder", "lr_unet", "lr_text_encoder"} <= state.losses[-1].keys()
    last = state.validations[-1]
    assert len({last["val_loss"], last["val_loss_unet_only"], last["val_loss_text_encoder_only"]}) == 3
    first = state.validations[0]
    assert first["val_loss"] == first["val_loss_unet_only"]


def test_validation_is_repeatable_and_keeps_the_random_stream(make_run):
    run = make_run(dropout=0.5)
    stream = torch.get_rng_state()
    assert validate(run) == validate(run)
    assert torch.equal(stream, torch.get_rng_state())
    assert run.module.training


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_bf16_training_keeps_a_float32_adapter(make_run, dtype):
    state = train(make_run(dtype=dtype, precision="bf16"))
    assert all(t.dtype == torch.float32 for name, t in state.tensors.items() if "lora" in name)
    assert all(math.isfinite(row["loss"]) for row in state.losses)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_fp16_gradients_are_scaled_once_and_the_scaler_is_resumed(make_run, accumulation):
    options = {"precision": "fp16", "accumulation": accumulation, "dtype": "fp16"}
    whole = train(make_run(state="whole", **options))
    plain = train(make_run(state="plain", accumulation=accumulation))
    norms = [[row["grad_norm_unet"] for row in state.losses] for state in (whole, plain)]
    assert norms[0] == pytest.approx(norms[1], rel=0.1)
    assert whole.scalars["scaler"]["_growth_tracker"] == 6
    with pytest.raises(KilledError):
        train(make_run(state="killed", log=kill_at(3), **options))
    resumed = train(make_run(state="killed", **options))
    assert same(whole.tensors, resumed.tensors)
    assert whole.scalars["scaler"] == resumed.scalars["scaler"]


def test_an_overflow_of_fp16_skips_the_update_and_halves_the_scale(make_run):
    run = make_run(steps=1, precision="fp16")
    run.accelerator.scaler = type(run.accelerator.scaler)("cpu", init_scale=2.0**127)
    run.optimizer.scaler = run.accelerator.scaler
    before = {name: p.detach().clone() for group in run.groups for name, p in group.parameters.items()}
    state = train(run)
    assert same(before, {name: state.tensors[name] for name in before})
    assert state.scalars["scaler"]["scale"] == 2.0**126


def test_non_finite_loss_stops_and_keeps_the_last_good_state(make_run):
    train(make_run(steps=2))
    run = make_run(steps=6)
    run.photos.train.mean.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match="the loss is nan at step 3"):
        train(run)
    assert run.state.load().step == 2


def test_state_of_another_adapter_is_refused(make_run):
    train(make_run(steps=2))
    with pytest.raises(ModelMismatchError, match="no fitting"):
        train(make_run(kind="sdxl", text=True))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "steps=0"),
        ({"lr": -1.0}, "lr=-1"),
        ({"max_grad_norm": 0.0}, "max_grad_norm"),
        ({"val_timesteps": [1.0]}, "val_timesteps"),
        ({"batch_size": 3, "accumulation": 2}, "cannot be split evenly"),
    ],
)
def test_bad_plans_are_refused(make_run, values, message):
    with pytest.raises(ConfigError, match=message):
        make_run().plan.__class__(**{**make_run().plan.__dict__, **values}).check(1)


def test_early_stop_asks_after_each_checkpoint_and_ends_there(make_run):
    asked = []

    def should_stop(step):
        asked.append((step, sorted(path.name for path in (run.state.path / "checkpoints").glob("step-??????"))))
        return len(asked) == 2

    run = make_run(steps=9, checkpoint_every=2, val_every=9, should_stop=should_stop)
    saved = train(run)
    assert asked == [(2, ["step-000002"]), (4, ["step-000002", "step-000004"])]
    assert saved.step == 4
    assert [row["step"] for row in saved.losses] == [1, 2, 3, 4]


def test_stopped_run_stays_stopped_and_a_killed_one_stops_at_the_same_step(make_run, tmp_path):
    def stops_at_four(state):
        return lambda _: (tmp_path / state / "checkpoints/step-000004").is_dir()

    options = {"steps": 9, "checkpoint_every": 2}
    whole = train(make_run(state="whole", should_stop=stops_at_four("whole"), **options))
    again = train(make_run(state="whole", should_stop=stops_at_four("whole"), log=kill_at(5), **options))
    with pytest.raises(KilledError):
        train(make_run(state="killed", should_stop=stops_at_four("killed"), log=kill_at(3), **options))
    resumed = train(make_run(state="killed", should_stop=stops_at_four("killed"), **options))
    assert whole.step == again.step == resumed.step == 4
    assert same(whole.tensors, resumed.tensors)
    assert whole.losses == resumed.losses == again.losses


def test_a_checkpoint_holds_the_average_and_training_goes_on_from_the_weights(make_run, tmp_path):
    last = train(make_run(state="last"))
    averaged = train(make_run(state="averaged", ema_decay=0.5))
    for name, weight in last.tensors.items():
        assert torch.equal(averaged.tensors[name], weight), name
    files = [load_tensors(tmp_path / state / "checkpoints/step-000006" / WEIGHTS)[0] for state in ("last", "averaged")]
    kept = {key.removeprefix("ema."): tensor for key, tensor in averaged.tensors.items() if key.startswith("ema.")}
    assert sorted(float(t.abs().sum()) for t in files[1].values()) == pytest.approx(
        sorted(float(t.abs().sum()) for t in kept.values())
    )
    assert any(not torch.equal(files[0][name], files[1][name]) for name in files[0])
    assert last.validations[-1]["val_loss"] != averaged.validations[-1]["val_loss"]


def test_deterministic_kernels_fill_no_fresh_memory(make_run, monkeypatch):
    """Filling costs a kernel for each new tensor and changes no byte of what is written anyway."""
    weights = []
    for fill in (True, False):
        set_deterministic(True)
        assert not torch.utils.deterministic.fill_uninitialized_memory
        monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", fill)
        weights.append(train(make_run(state=str(fill), text=True)).tensors)
    set_deterministic(False)
    assert same(*weights)


def test_a_group_keeps_a_rate_of_its_own_even_zero():
    plan = TrainPlan(**{**PLAN, "lr": 0.5})
    assert [plan.rate(ParameterGroup("unet", {}, lr)) for lr in (None, 0.25, 0.0)] == [0.5, 0.25, 0.0]
