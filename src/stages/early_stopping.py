"""Ends a training when the rule that chooses the checkpoint has preferred an earlier one for a while."""

import sys
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.core.errors import ConfigError
from src.core.processes import ALONE
from src.core.settings import EarlyStoppingSettings, Settings
from src.core.typed import as_settings
from src.metrics.base import models_of
from src.metrics.names import BASE, PROMPT, SUBJECT
from src.metrics.samples import checkpoint_steps
from src.sampling.variants import Variant
from src.stages.choose import Chooser, build_chooser
from src.training.determinism import set_deterministic


@dataclass(frozen=True)
class EarlyStopping:
    """Lets the rule choose among the checkpoints so far.

    It remembers nothing: images come from the cache of generated images, so a killed run decides as an uninterrupted
    one.

    Attributes:
        chooser: With the stage's parameters, under those that `early_stopping.settings` brings.
        patience: Checkpoints after the preferred one at which training ends, >= 1.
    """

    chooser: Chooser
    patience: int

    def should_stop(self, checkpoints: list[Path], generated: Path) -> bool:
        """Decides after a checkpoint.

        Args:
            checkpoints: The folders of all checkpoints so far.
            generated: A folder for the generated images, replaced each time.

        Returns:
            Whether `patience` checkpoints have come after the preferred one.

        Raises:
            MetricError: An image cannot be scored.
            MissingModelError: A metric model is not on this machine.
        """
        choice = self.chooser.choose(
            [Variant(BASE, None), *(Variant(path.name, path) for path in checkpoints)], generated, ALONE
        )
        set_deterministic(self.chooser.settings.train.deterministic)
        steps = checkpoint_steps(path.name for path in checkpoints)
        later = sum(step > steps[choice.variant] for step in steps.values())
        print(f"early stopping: {choice.variant} is preferred so far, {choice.sentence()}", flush=True)
        if choice.missed:
            print(f"early stopping: WARNING: {choice.missed}", file=sys.stderr, flush=True)
        return later >= self.patience

    def identity(self) -> dict[str, Any]:
        """Returns what decides beside parameters and code: the metric models' weights."""
        return {"metric_models": [metric_model.describe() for metric_model in models_of(self.chooser.metrics).values()]}


def build_early_stopping(params: Settings, data: Path) -> EarlyStopping:
    """Reads when to stop early.

    Args:
        params: The stage's parameters.
        data: Holds crops/ and split.csv.

    Returns:
        The rule.

    Raises:
        ConfigError: Patience is below 1, or the prompts cannot be used.
        MissingModelError: A metric model is not on this machine.
    """
    spec = as_settings(EarlyStoppingSettings, params.early_stopping, "early_stopping.")
    if spec.patience < 1:
        raise ConfigError(f"early_stopping.patience={spec.patience}: expected 1 or more")
    settings = copy(params)
    vars(settings).update(vars(spec.settings))
    return EarlyStopping(build_chooser(settings, (SUBJECT, PROMPT), data, ALONE), spec.patience)
