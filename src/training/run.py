"""What a training run is made of; the stage builds it, the loop drives it."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from src.core.errors import ConfigError
from src.losses.diffusion import DiffusionLoss
from src.methods.base import ParameterGroup
from src.models.base import Conditioning
from src.training.batches import LatentSet, SamplingPlan
from src.training.ema import WeightAverage
from src.training.ranges import check_counts, check_update
from src.training.schedule_free import at_average
from src.training.schedules import LrSchedule
from src.training.state import StateFolder

if TYPE_CHECKING:
    from accelerate import Accelerator

COUNTS = ("steps", "batch_size", "checkpoint_every", "save_every", "val_every")


@dataclass(frozen=True)
class TrainPlan:
    """How long, how much at a time, and when to look.

    Attributes:
        steps: Updates.
        batch_size: Images per update, over all processes and accumulation steps.
        accumulation: Backward passes per update.
        max_grad_norm: Gradients are clipped to this total norm.
        lr: Learning rate of groups that have none of their own.
        prior_weight: Of prior preservation in the loss.
        prior_caption: What the base model predicts for this caption is kept; None where class images are, or nothing.
        checkpoint_every: Updates between kept checkpoints.
        save_every: Updates between resumable states.
        val_every: Updates between validations.
        val_timesteps: Fractions of the schedule, each in [0, 1).
        sample_every: Updates between sample images; 0 for none.
        ema_decay: Of the averaged weights, in [0, 1); 0 takes the last weights.
    """

    steps: int
    batch_size: int
    accumulation: int
    max_grad_norm: float
    lr: float
    prior_weight: float
    prior_caption: str | None
    checkpoint_every: int
    save_every: int
    val_every: int
    val_timesteps: list[float]
    sample_every: int
    ema_decay: float

    def rate(self, group: ParameterGroup) -> float:
        """Returns a group's learning rate before the schedule: its own, or the run's where it has none."""
        return self.lr * group.lr_share if group.lr is None else group.lr

    def check(self, processes: int) -> None:
        """Refuses values that cannot work.

        Args:
            processes: How many processes share the work.

        Raises:
            ConfigError: A value is out of range, or the batch cannot be split evenly.
        """
        counts = {name: getattr(self, name) for name in COUNTS}
        check_counts({**counts, "gradient_accumulation_steps": self.accumulation})
        check_update(self.ema_decay, self.max_grad_norm)
        if not (0 <= self.lr < math.inf and 0 <= self.prior_weight < math.inf and self.sample_every >= 0):
            raise ConfigError(
                f"lr={self.lr}, prior.weight={self.prior_weight}, train.sample_every={self.sample_every}: "
                "expected 0 or more"
            )
        if not self.val_timesteps or not all(0 <= fraction < 1 for fraction in self.val_timesteps):
            raise ConfigError(f"train.val_timesteps={self.val_timesteps}: expected fractions in [0, 1)")
        if self.batch_size % (processes * self.accumulation):
            raise ConfigError(
                f"train.batch_size={self.batch_size} cannot be split evenly over {processes} processes "
                f"times {self.accumulation} accumulation steps"
            )


@dataclass(frozen=True)
class Hooks:
    """What the loop calls without knowing it.

    Attributes:
        save_checkpoint: Writes the adapter into a folder.
        only_part: Switches off what was attached to all parts but one; to all, for None.
        log: Takes a step and named numbers, to be watched.
        sample: Generates sample images after a step, to be watched.
        should_stop: Says, given the step of a kept checkpoint, whether training ends there.
    """

    save_checkpoint: Callable[[Path], None]
    only_part: Callable[[str | None], AbstractContextManager[None]]
    log: Callable[[int, dict[str, float]], None]
    sample: Callable[[int], None]
    should_stop: Callable[[int], bool]


@dataclass(frozen=True)
class Photos:
    """What is trained and validated on.

    Attributes:
        train: The instance images.
        prior: The class images, or None without prior preservation.
        val: The held-out images.
    """

    train: LatentSet
    prior: LatentSet | None
    val: LatentSet


def average_of(groups: Sequence[ParameterGroup]) -> WeightAverage:
    """Returns an average of what trains, under the names of a saved state."""
    return WeightAverage({f"ema.{name}": p for group in groups for name, p in group.parameters.items()})


@dataclass(frozen=True)
class Run:
    """A training run, ready to go.

    Attributes:
        accelerator: Devices, mixed precision, processes.
        module: The denoiser, wrapped for distributed work.
        optimizer: Over `groups`, in their order.
        groups: What trains.
        loss: Per sample.
        schedule: Of the learning rates.
        plan: How long and when.
        sampling: What is random.
        encode: Captions to what the denoiser takes: cached conditioning, or the captions themselves.
        photos: What is trained and validated on.
        state: Where to resume from.
        hooks: What to call.
        average: Of the weights over updates; None takes them as they are.
    """

    accelerator: "Accelerator"
    module: torch.nn.Module
    optimizer: torch.optim.Optimizer
    groups: list[ParameterGroup]
    loss: DiffusionLoss
    schedule: LrSchedule
    plan: TrainPlan
    sampling: SamplingPlan
    encode: Callable[[list[str]], Conditioning | list[str]]
    photos: Photos
    state: StateFolder
    hooks: Hooks
    average: WeightAverage | None

    def averaged(self) -> AbstractContextManager[None]:
        """Returns the context in which the model is what a checkpoint holds."""
        return at_average(self.optimizer) if self.average is None else self.average.in_place()

    @property
    def device(self) -> torch.device:
        """Where the tensors of a step live."""
        return self.accelerator.device
