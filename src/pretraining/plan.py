"""How long a training from noise lasts, how fast it goes, and when it looks."""

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from src.core.device import autocast
from src.core.errors import ConfigError
from src.training.ranges import check_counts, check_update

COUNTS = ("steps", "batch_size", "save_every", "log_every", "eval_every")


@dataclass(frozen=True)
class Plan:
    """How long, how fast, and when to look.

    Attributes:
        steps: Updates.
        lr: Learning rate before the schedule.
        batch_size: Images per update.
        ema_decay: Of the averaged weights, in [0, 1); 0 keeps the last weights.
        max_grad_norm: Gradients are clipped to this norm.
        mixed_precision: ``no`` or ``bf16``; see `src.core.device`.
        save_every: Updates between resumable states; a state waits for the row of the loss curve to be full.
        log_every: Updates that one row of the loss curve averages.
        eval_every: Updates between evaluations.
    """

    steps: int
    lr: float
    batch_size: int
    ema_decay: float
    max_grad_norm: float
    mixed_precision: str
    save_every: int
    log_every: int
    eval_every: int

    def __post_init__(self) -> None:
        check_counts({name: getattr(self, name) for name in COUNTS})
        check_update(self.ema_decay, self.max_grad_norm)
        if not 0 < self.lr < math.inf:
            raise ConfigError(f"train.lr={self.lr}: expected more than 0")
        if self.mixed_precision not in ("no", "bf16"):
            raise ConfigError(f"train.mixed_precision={self.mixed_precision}: expected no or bf16")

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Returns the context in which networks run forward."""
        return autocast(self.mixed_precision, device)

    def descend(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        """Takes one step down a loss, its gradient clipped."""
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        torch.nn.utils.clip_grad_norm_(trained, self.max_grad_norm)
        optimizer.step()
