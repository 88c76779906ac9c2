"""Ends a training when the rule that chooses the checkpoint has preferred an earlier one for a while."""

import sys
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.comparison.selection import Selection, SelectionRule, select_checkpoint
from src.core import layout
from src.core.building import build
from src.core.device import choose_device
from src.core.errors import ConfigError
from src.core.sets import DEV
from src.core.settings import EarlyStoppingSettings, Settings
from src.core.typed import as_settings
from src.features.store import FeatureStore
from src.metrics.base import Metric, check_models, models_of, score_images
from src.metrics.names import BASE, PROMPT, SUBJECT
from src.metrics.samples import checkpoint_steps, read_references, read_samples
from src.metrics.summary import score_table
from src.sampling.prompts import Prompt, load_prompts
from src.sampling.variants import Variant
from src.stages.generate import generate_variants
from src.training.determinism import set_deterministic


@dataclass(frozen=True)
class EarlyStopping:
    """Generates the dev prompts with every checkpoint so far, scores them and asks the rule.

    It remembers nothing: images come from the cache of generated images (and go there, where the stage generate finds
    them), so a killed run decides as an uninterrupted one.

    Attributes:
        settings: The stage's parameters, under those that `early_stopping.settings` brings.
        patience: Checkpoints after the preferred one at which training ends, >= 1.
        prompts: The dev prompts.
        metrics: Likeness and prompt fidelity.
        store: Computes features, each once.
        data: Holds crops/ and split.csv.
    """

    settings: Settings
    patience: int
    prompts: list[Prompt]
    metrics: tuple[Metric, ...]
    store: FeatureStore
    data: Path

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
        choice, steps = self.choose(
            [Variant(BASE, None), *(Variant(path.name, path) for path in checkpoints)], generated
        )
        later = sum(step > steps[choice.variant] for step in steps.values())
        print(f"early stopping: {choice.variant} is preferred so far, {choice.sentence()}", flush=True)
        if choice.missed:
            print(f"early stopping: WARNING: {choice.missed}", file=sys.stderr, flush=True)
        return later >= self.patience

    def choose(self, variants: list[Variant], generated: Path) -> tuple[Selection, dict[str, int]]:
        """Applies the rule.

        Args:
            variants: Base and checkpoints.
            generated: A folder for the generated images.

        Returns:
            The preferred checkpoint, and the step of each.
        """
        generate_variants(self.settings, variants, self.prompts, generated)
        set_deterministic(self.settings.train.deterministic)
        references = read_references(self.data / layout.SPLIT.name, self.data / layout.CROPS.name)
        samples = read_samples(generated, DEV)
        scores = [score for metric in self.metrics for score in score_images(metric, samples, references, self.store)]
        steps = checkpoint_steps(samples)
        evaluate = self.settings.evaluate
        rule = SelectionRule.of(evaluate.select_clip_t_margin, evaluate.margins)
        return select_checkpoint(score_table(scores), steps, rule), steps

    def identity(self) -> dict[str, Any]:
        """Returns what decides beside parameters and code: the metric models' weights."""
        return {"metric_models": [metric_model.describe() for metric_model in models_of(self.metrics).values()]}


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
    prompts = [prompt for prompt in load_prompts(settings.prompts) if prompt.set == DEV]
    metrics = tuple(build(settings.metrics[name], f"metrics.{name}") for name in (SUBJECT, PROMPT))
    check_models(metrics)
    store = FeatureStore(settings.evaluate.batch_size, choose_device(params.device).type)
    return EarlyStopping(settings, spec.patience, prompts, metrics, store, data)
