"""How long a training from noise lasts, how fast it goes, and when it looks."""

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from src.core.device import autocast
from src.core.errors import ConfigError
from src.core.pretraining_settings import PlanSettings
from src.training.ranges import check_counts, check_update

COUNTS = ("steps", "batch_size", "save_every", "log_every", "eval_every")


@dataclass
class Plan(PlanSettings):
    """The settings, in range, and what an update does with them."""

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
