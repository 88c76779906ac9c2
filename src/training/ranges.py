"""Ranges of what both plans have."""

import math
from collections.abc import Mapping

from src.core.errors import ConfigError


def check_counts(counts: Mapping[str, int]) -> None:
    """Raises ConfigError where a number of updates or images, by its key in `train`, is below 1."""
    for name, value in counts.items():
        if value < 1:
            raise ConfigError(f"train.{name}={value}: expected 1 or more")


def check_update(ema_decay: float, max_grad_norm: float) -> None:
    """Raises ConfigError where weights cannot be averaged or gradients not clipped so."""
    if not 0 <= ema_decay < 1:
        raise ConfigError(f"train.ema_decay={ema_decay}: expected a number in [0, 1)")
    if math.isnan(max_grad_norm) or max_grad_norm <= 0:
        raise ConfigError(f"train.max_grad_norm={max_grad_norm}: expected a number above 0")
