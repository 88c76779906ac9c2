"""What a training refuses before any model loads, and what it says of the photos."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from src.core.building import build
from src.core.errors import ConfigError
from src.core.settings import Settings
from src.data.dataset import Item
from src.methods.base import Method
from src.models.families import learns_flow
from src.stages.sampling_setup import check_base, find_base, sampling_settings


def check_settings(params: Settings, method: Method) -> None:
    """Refuses, before the model loads, what would fail only after it.

    Args:
        params: The stage's parameters.
        method: What trains.

    Raises:
        ConfigError: A value is out of range, or the method cannot train a base in half precision.
        MissingModelError: The base model is not on this machine.
        ModelMismatchError: The base model is of another architecture.
    """
    train = params.train
    for name in ("caption_dropout", "noise_offset", "background_weight"):
        if not 0 <= getattr(train, name) <= 1:
            raise ConfigError(f"train.{name}={getattr(train, name)}: expected a number in [0, 1]")
    if method.needs_fp32 and train.base_dtype != "fp32":
        raise ConfigError(
            f"train.base_dtype={train.base_dtype}: this method trains the base model's own weights, whose small steps "
            "half precision rounds away; expected fp32 (train.mixed_precision may be bf16)"
        )
    warmup_steps = params.lr_schedule["warmup_steps"]
    if warmup_steps > train.steps:
        raise ConfigError(
            f"lr_schedule.warmup_steps={warmup_steps} of train.steps={train.steps}: the full rate is never reached"
        )
    build_optimizer(params.optimizer, [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": params.lr}])
    base = find_base(params)
    if train.sample_every:
        check_base(params, sampling_settings(params))
    if train.noise_offset and learns_flow(base):
        raise ConfigError(
            f"train.noise_offset={train.noise_offset}: the base model learns a flow, whose images begin from noise "
            "alone, so that no mean is left to correct; expected 0"
        )


def build_optimizer(settings: Mapping[str, Any], groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Builds the optimizer.

    Args:
        settings: Its class and options.
        groups: Parameters with their learning rates.

    Returns:
        The optimizer.

    Raises:
        ConfigError: It refuses an option.
    """
    try:
        optimizer: torch.optim.Optimizer = build(settings, "optimizer")(groups)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"optimizer: {error}") from error
    return optimizer


def check_masks(items: Sequence[Item], background_weight: float) -> None:
    """Says of which photos the whole square counts, where the loss is to look at the subject.

    Args:
        items: What is trained on.
        background_weight: Outside of the subject.

    Raises:
        ConfigError: No photo has a mask.
    """
    without = [item.image_id for item in items if item.mask is None]
    if background_weight == 1 or not without:
        return
    if len(without) == len(items):
        raise ConfigError(
            f"train.background_weight={background_weight}: no photo has a mask that its cropper does not doubt; "
            "expected 1, or crops of cropper=salient"
        )
    print(
        f"train: warning: no mask, or a doubted one, of {len(without)} of {len(items)} photos, whose whole squares "
        f"count: {', '.join(without)}",
        flush=True,
    )
