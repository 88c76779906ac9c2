"""Learning-rate schedules as functions of the step, so that resuming needs no schedule state."""

import math
from typing import Protocol

from src.core.errors import ConfigError


class LrSchedule(Protocol):
    """A factor on the learning rate."""

    def factor(self, step: int, steps: int) -> float:
        """Returns the factor, in [0, 1], for the update number `step` (from 0) of `steps`."""
        ...


class ConstantSchedule:
    """1 after a linear warm-up.

    Args:
        warmup_steps: Updates until the full rate, >= 0.

    Raises:
        ConfigError: `warmup_steps` is negative.
    """

    def __init__(self, warmup_steps: int) -> None:
        if warmup_steps < 0:
            raise ConfigError(f"lr_schedule.warmup_steps={warmup_steps}: expected 0 or more")
        self.warmup_steps = warmup_steps

    def factor(self, step: int, steps: int) -> float:  # noqa: ARG002
        """Returns (step + 1) / (warmup_steps + 1) while warming up, then 1."""
        return min(1.0, (step + 1) / (self.warmup_steps + 1))


class CosineSchedule:
    """Half a cosine from 1 to `min_ratio` after a linear warm-up.

    Paper: SGDR (Loshchilov & Hutter, 2016), arXiv:1608.03983, equation 5 without restarts.

    Args:
        warmup_steps: Updates until the full rate, >= 0.
        min_ratio: The last factor, in [0, 1].

    Raises:
        ConfigError: A value is out of range.
    """

    def __init__(self, warmup_steps: int, min_ratio: float) -> None:
        if not 0 <= min_ratio <= 1:
            raise ConfigError(f"lr_schedule.min_ratio={min_ratio}: expected a number in [0, 1]")
        self.warm_up = ConstantSchedule(warmup_steps)
        self.min_ratio = min_ratio

    def factor(self, step: int, steps: int) -> float:
        """Returns the warm-up factor, then the cosine's."""
        warmup = self.warm_up.warmup_steps
        if step < warmup:
            return self.warm_up.factor(step, steps)
        progress = min(1.0, (step - warmup) / max(1, steps - warmup))
        return self.min_ratio + (1 - self.min_ratio) * 0.5 * (1 + math.cos(math.pi * progress))
