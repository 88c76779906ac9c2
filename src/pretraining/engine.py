"""The loop that trains any model from noise: draw a batch, update, average, save; it resumes to the same bytes.

A task knows its networks, losses and optimizers; the loop knows none of them, so that a GAN and a diffusion model
run through the same lines.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from src.core.errors import ModelMismatchError, NonFiniteError
from src.core.progress import follow, say
from src.core.seeding import derive_seed
from src.pretraining.images import ImageSet
from src.pretraining.plan import Plan
from src.training.ema import WeightAverage, warmed_up
from src.training.schedules import LrSchedule
from src.training.state import Row, SavedState, StateFolder, pack_optimizer, unpack_optimizer


class Given(NamedTuple):
    """What every task is built from, whatever it trains.

    Attributes:
        train_set: What it learns from.
        val_set: What it is measured on.
        plan: Of the training.
        seed: Of weights and random draws.
        device: Where to.
    """

    train_set: ImageSet
    val_set: ImageSet
    plan: Plan
    seed: int
    device: torch.device


class Task(Protocol):
    """What is trained.

    Attributes:
        looks_ahead: Whether what an update does depends on how many there are in all.
        networks: Everything with weights, by name.
        averaged: The names of those networks whose weights are averaged over steps.
        optimizers: By name.
        device: Where it all is.
    """

    looks_ahead: bool
    networks: dict[str, nn.Module]
    averaged: tuple[str, ...]
    optimizers: dict[str, torch.optim.Optimizer]
    device: torch.device

    def update(self, step: int) -> dict[str, Tensor]:
        """Does one update of every optimizer; draws from torch's global stream, which the loop has seeded.

        Args:
            step: From 0.

        Returns:
            Losses, each of shape (), still on the device; ``loss`` is among them.
        """
        ...

    def evaluate(self) -> dict[str, float]:
        """Measures the networks as they are (the loop has put the averaged weights in)."""
        ...

    def samples(self) -> dict[str, Tensor]:
        """Returns pictures to look at, (n, 3, S, S), uint8, under what they are of."""
        ...

    def save(self, folder: Path) -> None:
        """Writes the networks as they are."""
        ...


@dataclass(frozen=True)
class Curves:
    """What training left behind.

    Attributes:
        losses: A row for every `Plan.log_every` updates.
        evaluations: A row for every evaluation.
        seconds: That updates and evaluations took, in all processes that had a part in it; what a kill lost is not
            among them.
    """

    losses: list[Row]
    evaluations: list[Row]
    seconds: float = field(compare=False)


@dataclass(frozen=True)
class Watch:
    """Who looks on; nothing of it decides a weight.

    Attributes:
        measured: Names what evaluations measure; those made by other measures are dropped.
        log: Takes every row of both curves when it is made.
        sample: Takes what the averaged weights generate after an evaluation; None has nothing generated.
        until: When to stop, by `time.monotonic`, after an update that is evaluated and saved.
    """

    measured: str
    log: Callable[[Row], None]
    sample: Callable[[int, dict[str, Tensor]], None] | None = None
    until: float = math.inf


def train_from_noise(
    task: Task, plan: Plan, schedule: LrSchedule, seed: int, state: StateFolder, watch: Watch
) -> Curves:
    """Trains to the plan's last step, from the saved state if there is one; leaves the averaged weights in the task.

    A finished training that is asked for other measures is only measured again.

    Args:
        task: What is trained.
        plan: How long and how.
        schedule: Of the learning rate.
        seed: Of every draw.
        state: Where to resume from.
        watch: Who looks on.

    Returns:
        The curves.

    Raises:
        NonFiniteError: A loss is NaN or infinite; the last good state stays.
        ModelMismatchError: The saved state holds other weights.
    """
    average = _average(task)
    start, losses, evaluations, notes = _resume(task, average, state, watch.measured)
    notes["steps"] = plan.steps
    pending, kept, earlier, began = list[dict[str, Tensor]](), start, notes["seconds"], time.monotonic()
    for step in follow(range(start, plan.steps), plan.steps, "train", "steps", start):
        _set_learning_rates(task, plan.lr, schedule.factor(step, plan.steps))
        torch.manual_seed(derive_seed(seed, "update", step))
        pending.append(task.update(step))
        average.update(warmed_up(plan.ema_decay, step))
        done = step + 1
        last = done == plan.steps or (watch.until < math.inf and time.monotonic() >= watch.until)
        if last or done % plan.log_every == 0:
            losses.append(_summarize(done, pending))
            watch.log(losses[-1])
            pending.clear()
        if last or done % plan.eval_every == 0:
            evaluations.append(_evaluation(task, average, done, watch))
            _report(losses[-1] | evaluations[-1], plan, (done - start) / (time.monotonic() - began))
        if last or (done // plan.save_every > kept // plan.save_every and not pending):
            notes["seconds"] = earlier + time.monotonic() - began
            state.save(_pack(task, average, done, losses, evaluations, notes))
            kept = done
        if last:
            break
    if not evaluations:  # of these measures
        evaluations.append(_evaluation(task, average, plan.steps, watch))
        state.save(_pack(task, average, plan.steps, losses, evaluations, notes))
    average.load(average.tensors)
    return Curves(losses, evaluations, notes["seconds"])


def _resume(
    task: Task, average: WeightAverage, state: StateFolder, measured: str
) -> tuple[int, list[Row], list[Row], dict[str, Any]]:
    """Returns updates done, both curves, and notes: the seconds that they took, what is measured and since when."""
    saved = state.load()
    if saved is None:
        return 0, [], [], {"seconds": 0.0, "measured": measured, "since": 0}
    _restore(task, average, saved, state)
    print(f"resuming after step {saved.step}", flush=True)
    same = saved.scalars["measured"] == measured
    since = saved.scalars["since"] if same else saved.step
    notes = {"seconds": saved.scalars["seconds"], "measured": measured, "since": since}
    return saved.step, list(saved.losses), list(saved.validations) if same else [], notes


def _set_learning_rates(task: Task, lr: float, factor: float) -> None:
    for optimizer in task.optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = lr * group.get("lr_factor", 1.0) * factor


def _report(row: Row, plan: Plan, updates_per_s: float) -> None:
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "step")
    say(f"step {row['step']}/{plan.steps}: {numbers}; {updates_per_s * plan.batch_size:z.0f} images/s")


def _evaluation(task: Task, average: WeightAverage, done: int, watch: Watch) -> Row:
    with average.in_place():
        row = {"step": done, **task.evaluate()}
        if watch.sample is not None:
            watch.sample(done, task.samples())
    watch.log(row)
    return row


def _summarize(done: int, pending: list[dict[str, Tensor]]) -> Row:
    row: Row = {"step": done}
    for name in pending[0]:
        row[name] = float(torch.stack([values[name].detach().float() for values in pending]).mean())
    if not all(math.isfinite(value) for value in row.values()):
        raise NonFiniteError(f"a loss is not finite before step {done} ({row}): try a smaller train.lr")
    return row


def _average(task: Task) -> WeightAverage:
    return WeightAverage(
        {
            f"ema.{name}.{key}": value
            for name in task.averaged
            for key, value in task.networks[name].state_dict().items()
        }
    )


def _pack(
    task: Task, average: WeightAverage, done: int, losses: list[Row], evaluations: list[Row], notes: dict[str, Any]
) -> SavedState:
    tensors, scalars = dict(average.tensors), dict(notes)
    for name, network in task.networks.items():
        # copies, since a file cannot hold one tensor under two names
        tensors |= {f"network.{name}.{key}": value.clone() for key, value in network.state_dict().items()}
    for name, optimizer in task.optimizers.items():
        moments, scalars[name] = pack_optimizer(optimizer)
        tensors |= {f"{name}/{key}": value for key, value in moments.items()}
    return SavedState(done, tensors, scalars, losses, evaluations)


def _restore(task: Task, average: WeightAverage, saved: SavedState, state: StateFolder) -> None:
    for name, network in task.networks.items():
        prefix = f"network.{name}."
        weights = {key.removeprefix(prefix): value for key, value in saved.tensors.items() if key.startswith(prefix)}
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise ModelMismatchError(f"{state.path}: no fitting {name}; delete the folder to start anew") from error
    for name, optimizer in task.optimizers.items():
        prefix = f"{name}/"
        moments = {key.removeprefix(prefix): value for key, value in saved.tensors.items() if key.startswith(prefix)}
        unpack_optimizer(optimizer, moments, saved.scalars[name])
    for key, kept in average.tensors.items():
        kept.copy_(saved.tensors[key])
