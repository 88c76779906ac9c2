"""The training loop. Reads top down: restore, then for each step draw, predict, update, and now and then look."""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from accelerate.utils import broadcast_object_list
from torch import Tensor

from src.core.errors import ModelMismatchError, NonFiniteError
from src.core.progress import follow, say
from src.methods.base import trained_weights
from src.noise.process import Noised
from src.training.batches import cell_weights, sample_batch
from src.training.ema import warmed_up
from src.training.run import Run
from src.training.schedule_free import prepare_updates
from src.training.state import Row, SavedState, pack_optimizer, unpack_optimizer
from src.training.validation import validate


def train(run: Run) -> SavedState:
    """Trains to the plan's last step or an early stop, from the saved state if there is one.

    Args:
        run: Everything built and on its device.

    Returns:
        The final state.

    Raises:
        NonFiniteError: The loss or a weight is NaN or infinite; the last good state stays.
    """
    saved = run.state.load()
    start, losses, validations = restore(run, saved)
    prepare_updates(run.optimizer)
    pending: list[dict[str, Tensor]] = []
    if start == 0:
        validations.append(_validate(run, 0))
    for step in _steps(run, start):
        if _should_stop(run, step):
            break
        pending.append(train_step(run, step))
        if run.average is not None:
            run.average.update(warmed_up(run.plan.ema_decay, step))
        done = step + 1
        last = done == run.plan.steps
        look = last or done % run.plan.val_every == 0
        keep = last or done % run.plan.checkpoint_every == 0
        if look or keep or done % run.plan.save_every == 0:
            losses += flush(run, done, pending)
            pending = []
            if look:
                validations.append(_validate(run, done))
            saved = save(run, done, losses, validations, keep)
        if run.plan.sample_every and (last or done % run.plan.sample_every == 0) and run.accelerator.is_main_process:
            with run.averaged():
                run.hooks.sample(done)
    run.accelerator.wait_for_everyone()
    assert saved is not None, "steps >= 1, so the last step was saved"
    return saved


def _steps(run: Run, start: int) -> Iterator[int]:
    """Counts the steps that are left; one process shows how far it is."""
    steps = range(start, run.plan.steps)
    return follow(steps, run.plan.steps, "train", "steps", start) if run.accelerator.is_main_process else iter(steps)


def _should_stop(run: Run, done: int) -> bool:
    """Asks before going on after a kept checkpoint, so that a resumed run asks, too; all processes hear one answer."""
    if done == 0 or done % run.plan.checkpoint_every:
        return False
    answer = [run.accelerator.is_main_process and run.hooks.should_stop(done)]
    return bool(broadcast_object_list(answer)[0])


def restore(run: Run, saved: SavedState | None) -> tuple[int, list[Row], list[Row]]:
    """Puts weights, moments and the gradient scaler back.

    Args:
        run: A fresh run.
        saved: The state, or None for a start from nothing.

    Returns:
        Updates done, and the curves so far.

    Raises:
        ModelMismatchError: The state holds other weights than the run trains.
    """
    if saved is None:
        return 0, [], []
    for group in run.groups:
        for name, parameter in group.parameters.items():
            kept = saved.tensors.get(name)
            if kept is None or kept.shape != parameter.shape:
                raise ModelMismatchError(f"{run.state.path}: no fitting {name}; delete the folder to start anew")
            parameter.data.copy_(kept)
    unpack_optimizer(run.optimizer, saved.tensors, saved.scalars["optimizer"])
    if run.average is not None:
        for name, kept in run.average.tensors.items():
            kept.copy_(saved.tensors[name])
    if run.accelerator.scaler is not None:
        run.accelerator.scaler.load_state_dict(saved.scalars["scaler"])
    if run.accelerator.is_main_process:
        print(f"resuming after step {saved.step} of {run.plan.steps}")
    return saved.step, list(saved.losses), list(saved.validations)


def train_step(run: Run, step: int) -> dict[str, Tensor]:
    """Does one update.

    Args:
        run: The run.
        step: From 0.

    Returns:
        Losses and gradient norms, each of shape (), still on the device: reading them would stall it.
    """
    plan, accelerator = run.plan, run.accelerator
    _set_learning_rates(run, step)
    torch.manual_seed(run.sampling.seed + step)  # only dropout draws from the global stream
    per_pass = plan.batch_size // (plan.accumulation * accelerator.num_processes)
    sums: dict[str, Tensor] = {}
    for pass_index in range(plan.accumulation):
        first = (pass_index * accelerator.num_processes + accelerator.process_index) * per_pass
        with accelerator.accumulate(run.module):
            parts = _losses(run, step, range(first, first + per_pass))
            accelerator.backward(parts["loss"])
            if accelerator.sync_gradients:
                accelerator.unscale_gradients()
                norms = {f"grad_norm_{group.name}": _grad_norm(list(group.parameters.values())) for group in run.groups}
                # not the accelerator's own: it would unscale a second time, which the scaler refuses
                torch.nn.utils.clip_grad_norm_(
                    [p for group in run.groups for p in group.parameters.values()], plan.max_grad_norm
                )
            run.optimizer.step()
            run.optimizer.zero_grad(set_to_none=True)
        for name, value in parts.items():
            sums[name] = sums.get(name, torch.zeros((), device=run.device)) + value.detach().float() / plan.accumulation
    reduced = {name: accelerator.reduce(value, "mean") for name, value in sums.items()}
    return {**reduced, **norms}


def _losses(run: Run, step: int, slots: range) -> dict[str, Tensor]:
    sets = {"instance": run.photos.train, "class": run.photos.prior}
    batches = [
        sample_batch(data, name, step, slots, run.plan.batch_size, run.sampling)
        for name, data in sets.items()
        if data is not None
    ]
    if run.plan.prior_caption is not None:
        batches.append(replace(batches[0], captions=[run.plan.prior_caption] * len(slots), cells=None))
    latents, noise, time, size_px = (
        torch.cat([getattr(batch, field) for batch in batches]).to(run.device, non_blocking=True)
        for field in ("latents", "noise", "time", "size_px")
    )
    text = run.encode([caption for batch in batches for caption in batch.captions])
    noised = replace(run.sampling.process.add_noise(latents, noise, time), cells=cell_weights(batches, run.device))
    if run.plan.prior_caption is not None:
        noised = _as_the_base_predicts(run, noised, time, size_px)
    with run.accelerator.autocast():
        prediction = run.module(noised.x_t, time, text, size_px)
    per_sample = run.loss(prediction, noised)
    instance = per_sample[: len(slots)].mean()
    if len(batches) == 1:
        return {"loss": instance}
    prior = per_sample[len(slots) :].mean()
    return {"loss": instance + run.plan.prior_weight * prior, "loss_instance": instance, "loss_prior": prior}


@torch.no_grad()
def _as_the_base_predicts(run: Run, noised: Noised, time: Tensor, size_px: Tensor) -> Noised:
    """Makes what the base model says of the second half of a batch, the photos as any of the class, its target."""
    rest = slice(len(time) // 2, None)
    text = run.encode([str(run.plan.prior_caption)] * len(time[rest]))
    with run.hooks.only_part(None), run.accelerator.autocast():
        kept = run.module(noised.x_t[rest], time[rest], text, size_px[rest])
    return replace(noised, target=torch.cat([noised.target[: rest.start], kept.float()]))


def _grad_norm(parameters: list[torch.nn.Parameter]) -> Tensor:
    return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]).detach()


def _set_learning_rates(run: Run, step: int) -> None:
    factor = run.schedule.factor(step, run.plan.steps)
    for settings, group in zip(run.optimizer.param_groups, run.groups, strict=True):
        settings["lr"] = run.plan.rate(group) * factor


def flush(run: Run, done: int, pending: list[dict[str, Tensor]]) -> list[Row]:
    """Brings the numbers of the last steps to the CPU, checks and logs them.

    Args:
        run: The run.
        done: Updates done.
        pending: What train_step returned, oldest first.

    Returns:
        A row for each step.

    Raises:
        NonFiniteError: A loss is NaN or infinite.
    """
    rows: list[Row] = []
    for step, values in enumerate(pending, start=done - len(pending) + 1):
        factor = run.schedule.factor(step - 1, run.plan.steps)
        rates = {f"lr_{group.name}": run.plan.rate(group) * factor for group in run.groups}
        row = {"step": step, **{name: float(value) for name, value in values.items()}, **rates}
        if not math.isfinite(row["loss"]):
            raise NonFiniteError(f"the loss is {row['loss']} at step {step}: try a smaller lr, or base_dtype=fp32")
        rows.append(row)
        if run.accelerator.is_main_process:
            run.hooks.log(step, {name: value for name, value in row.items() if name != "step"})
    return rows


def _validate(run: Run, done: int) -> Row:
    with run.averaged():
        row = {"step": done, **validate(run)}
    if run.accelerator.is_main_process:
        run.hooks.log(done, {name: value for name, value in row.items() if name != "step"})
        say(f"step {done}/{run.plan.steps}: held-out loss {row['val_loss']:z.5f}")
    return row


def save(run: Run, done: int, losses: list[Row], validations: list[Row], keep: bool) -> SavedState:
    """Saves the state and, when it is due, a checkpoint before it: a kill in between only repeats work.

    Args:
        run: The run.
        done: Updates done.
        losses: All rows so far.
        validations: All rows so far.
        keep: Whether a checkpoint is due.

    Returns:
        The state.

    Raises:
        NonFiniteError: A weight is NaN or infinite; nothing is written.
    """
    weights = trained_weights(run.groups)
    for name, weight in weights.items():
        if not bool(torch.isfinite(weight).all()):
            raise NonFiniteError(f"{name} is not finite after step {done}; the state of the step before stays")
    moments, memory = pack_optimizer(run.optimizer)
    scaler = run.accelerator.scaler
    scalars = {
        "optimizer": memory,
        "scaler": None if scaler is None else scaler.state_dict(),
        "steps": run.plan.steps,
    }
    average = {} if run.average is None else {k: tensor.cpu().clone() for k, tensor in run.average.tensors.items()}
    state = SavedState(done, {**weights, **moments, **average}, scalars, losses, validations)
    if run.accelerator.is_main_process:
        if keep:
            with run.averaged():
                run.hooks.save_checkpoint(run.state.checkpoint(done))
            run.state.seal(done)
        run.state.save(state)
    return state
