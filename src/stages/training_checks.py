"""What a training refuses before any model loads, and what it says of the photos."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from src.core.building import build
from src.core.device import choose_device
from src.core.errors import ConfigError
from src.core.settings import Settings
from src.data.dataset import Item
from src.methods.base import Method
from src.models.base import QUANTIZED
from src.models.families import learns_flow
from src.models.quantized import check_library
from src.stages.memory import check_training
from src.stages.sampling_setup import check_base, find_base, sampling_settings
from src.stages.starting import check_start
from src.training.schedule_free import finds_its_rate, is_schedule_free

# train.quantize of a base that is kept as train.base_dtype says
NONE = "none"
# of the rate that Prodigy finds; Adam's usual rates are far below
LEAST_FACTOR = 0.01


def check_settings(params: Settings, method: Method) -> None:
    """Refuses, before the model loads, what would fail only after it.

    Args:
        params: The stage's parameters.
        method: What trains.

    Raises:
        ConfigError: A value is out of range, or the method cannot train a base in half precision.
        MissingModelError: The base model is not on this machine.
        ModelMismatchError: The base model is of another architecture, or the adapter to begin with is of another base
            or method.
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
    check_training(params, method)
    check_quantized(params, method)
    warmup_steps = params.lr_schedule["warmup_steps"]
    if warmup_steps > train.steps:
        raise ConfigError(
            f"lr_schedule.warmup_steps={warmup_steps} of train.steps={train.steps}: the full rate is never reached"
        )
    check_optimizer(params, method)
    base = find_base(params)
    if train.checkpoint_path:
        check_start(params, base)
    if train.sample_every:
        check_base(params, sampling_settings(params))
    if train.noise_offset and learns_flow(base):
        raise ConfigError(
            f"train.noise_offset={train.noise_offset}: the base model learns a flow, whose images begin from noise "
            "alone, so that no mean is left to correct; expected 0"
        )


def check_quantized(params: Settings, method: Method) -> None:
    """Refuses a quantised base where it cannot be trained over.

    Args:
        params: The stage's parameters.
        method: What trains.

    Raises:
        ConfigError: There is no such kind, the method computes with the base's numbers, or the device is another than
            the library knows, or has kernels of it that promise no same bytes.
        MissingModelError: The library is not installed.
    """
    kind, setting = params.train.quantize, f"train.quantize={params.train.quantize}"
    if kind == NONE:
        return
    if kind not in QUANTIZED:
        raise ConfigError(f"{setting}: expected {NONE}, {' or '.join(QUANTIZED)}")
    if kind not in method.quantized_bases:
        others = " or ".join((NONE, *method.quantized_bases))
        raise ConfigError(
            f"{setting}: this method computes with the base model's own numbers, which are codes then; "
            f"expected {others}, or a method as lora"
        )
    device = choose_device(params.device).type
    if device not in ("cuda", "cpu"):
        raise ConfigError(f"{setting} with device={device}: bitsandbytes trains on cuda and cpu alone; expected {NONE}")
    if device == "cuda" and params.train.deterministic:
        raise ConfigError(
            f"{setting} with train.deterministic=true: bitsandbytes promises no same bytes on a GPU; "
            "expected train.deterministic=false"
        )
    check_library(setting)


def check_optimizer(params: Settings, method: Method) -> None:
    """Builds the optimizer for nothing, and refuses what it cannot train with.

    Args:
        params: The stage's parameters.
        method: What trains.

    Raises:
        ConfigError: A value is refused, or another technique does what the optimizer does itself.
    """
    group = {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": params.lr}
    optimizer = build_optimizer(params.optimizer, [group])
    # where texts train, too, parts have rates of their own, which are known when they are there
    if not method.trains_text:
        check_rates(optimizer, [params.lr])
    if not is_schedule_free(optimizer):
        return
    if params.train.ema_decay:
        raise ConfigError(
            f"train.ema_decay={params.train.ema_decay}: this optimizer keeps an average of the weights; expected 0"
        )
    steps, schedule = params.train.steps, build(params.lr_schedule, "lr_schedule")
    if schedule.factor(steps - 1, steps) < max(schedule.factor(step, steps) for step in range(steps)):
        raise ConfigError("lr_schedule: this optimizer's average stands for a falling rate; expected constant")
    if not optimizer.param_groups[0]["betas"][0] > 0:
        raise ConfigError("optimizer.betas: this optimizer's average needs a first number above 0")


def check_rates(optimizer: torch.optim.Optimizer, rates: Sequence[float]) -> None:
    """Refuses rates for an optimizer that finds its own and is given a factor on it.

    Args:
        optimizer: Any.
        rates: Of the parts that train, before the schedule.

    Raises:
        ConfigError: Prodigy is given a rate as of Adam, with which it would hardly move, or several, which it refuses
            in the first step.
    """
    if not finds_its_rate(optimizer.param_groups[0]):
        return
    if min(rates) < LEAST_FACTOR or len(set(rates)) > 1:
        raise ConfigError(
            f"lr={', '.join(f'{rate:g}' for rate in rates)}: this optimizer finds the rate itself and multiplies it by "
            "lr; expected about 1, the same for all parts (text_encoder_lr, too)"
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
