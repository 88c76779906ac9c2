"""An exponential moving average of weights, by torch's own arithmetic; both trainers take it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """Averages tensors over updates.

    Paper: Acceleration of Stochastic Approximation by Averaging (Polyak & Juditsky, 1992), SIAM J. Control Optim. 30.

    Args:
        weights: What trains, by name; referred to, never copied. Integers (counters) are taken as they are.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._weights = dict(weights)
        self.tensors = {name: value.detach().clone() for name, value in weights.items()}

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Moves the average towards the weights.

        Args:
            decay: Of the average's own share, in [0, 1).
        """
        floats: tuple[list[Tensor], list[Tensor]] = ([], [])
        for name, value in self._weights.items():
            kept = self.tensors[name]
            if kept.is_floating_point():
                floats[0].append(kept)
                floats[1].append(value.detach())
            else:
                kept.copy_(value)
        if floats[0]:
            get_ema_multi_avg_fn(decay)(floats[0], floats[1], 0)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Puts the average in the weights' place, and the weights back."""
        trained = {name: value.detach().clone() for name, value in self._weights.items()}
        self.load(self.tensors)
        yield
        self.load(trained)

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Copies tensors into the weights, by name."""
        for name, value in self._weights.items():
            value.copy_(tensors[name])


def warmed_up(decay: float, step: int) -> float:
    """Returns the decay of an update: early ones forget faster, or the first weights would stay for long.

    min(decay, (1 + step) / (10 + step)), as diffusers' EMAModel and TensorFlow's ExponentialMovingAverage have it.

    Args:
        decay: Of a long training, in [0, 1).
        step: From 0.

    Returns:
        In [0, decay].
    """
    return min(decay, (1 + step) / (10 + step))
