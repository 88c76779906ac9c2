"""The types of everything that can be set for a training from noise; configs/pretraining.yaml holds values and meaning.

Apart from `src.core.settings`, which every stage imports: an edit here trains no adapter anew.
"""

from dataclasses import dataclass
from typing import Any

from src.core.settings import ExpSettings


@dataclass
class PlanSettings:
    """How long and how fast a training from noise trains, and when it looks; see `src.pretraining.plan`.

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


@dataclass
class PretrainTrainSettings(PlanSettings):
    """The plan, where to begin, and which kernels."""

    checkpoint_path: str | None
    deterministic: bool


@dataclass
class ProjectSettings:
    """What trackers call the project."""

    token: str


@dataclass
class PretrainSettings:
    """All that can be set for a training from noise; configs/pretraining.yaml holds values and meaning."""

    task: dict[str, Any]
    train_data: dict[str, Any]
    val_data: dict[str, Any]
    seed: int
    device: str | None
    tracker: dict[str, Any]
    subject: ProjectSettings
    lr_schedule: dict[str, Any]
    train: PretrainTrainSettings
    exp: ExpSettings
