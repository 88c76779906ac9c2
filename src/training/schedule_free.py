"""Optimizers that average the weights themselves: which of the two the model has, and when.

Paper: The Road Less Scheduled (Defazio et al., 2024), arXiv:2405.15682. Gradients are taken at y, a mixture of the
average x and the fast weights z; x is what is validated, sampled and saved as a checkpoint. The state to resume from
holds y and z: from x the library would come back to y up to rounding alone.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch


def is_schedule_free(optimizer: torch.optim.Optimizer) -> bool:
    """Says whether an optimizer keeps an average, by the switch that such ones have."""
    return "train_mode" in optimizer.param_groups[0]


def prepare_updates(optimizer: Any) -> None:
    """Tells an optimizer that updates follow, which one that keeps an average demands."""
    if is_schedule_free(optimizer):
        optimizer.train()


@contextmanager
def at_average(optimizer: Any) -> Iterator[None]:
    """Puts the average in the weights' place, and the weights back, to the last bit; nothing where there is none."""
    if not is_schedule_free(optimizer):
        yield
        return
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    trained = [parameter.detach().clone() for parameter in parameters]
    optimizer.eval()
    try:
        yield
    finally:
        optimizer.train()
        with torch.no_grad():
            for parameter, value in zip(parameters, trained, strict=True):
                parameter.copy_(value)


def finds_its_rate(group: Mapping[str, Any]) -> bool:
    """Says of a group of parameters whether its optimizer is Prodigy or one of its kin, by a setting of theirs."""
    return "d_coef" in group
