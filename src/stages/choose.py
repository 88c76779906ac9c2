"""Chooses the checkpoint that is reported: base and every checkpoint generate the dev prompts, a rule fixed in advance
looks at their scores. Reads models/adapter, data/crops and data/split.csv, writes metrics/choice.json in exp.run_dir.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from src.comparison.selected import Selection, write_selection
from src.comparison.selection import SelectionRule, select_checkpoint
from src.core import layout
from src.core.app import Stage
from src.core.building import build
from src.core.checkpoint_config import load_checkpoint_params
from src.core.device import choose_device
from src.core.processes import Processes, joined
from src.core.sets import DEV
from src.core.settings import Settings
from src.features.store import FeatureStore
from src.metrics.base import Metric, check_models, score_images
from src.metrics.names import PROMPT, SUBJECT
from src.metrics.samples import checkpoint_steps, read_references, read_samples
from src.metrics.summary import choose_names, score_table
from src.sampling.prompts import Prompt, load_prompts
from src.sampling.variants import Variant, adapter_digests
from src.stages.generate import check_subject, generate_variants, list_variants
from src.training.determinism import set_environment


@dataclass(frozen=True)
class Chooser:
    """Generates the dev prompts, scores them and asks the rule.

    Images come from the cache of generated images and go there, where the stage generate finds them.

    Attributes:
        settings: A stage's parameters.
        prompts: The dev prompts.
        metrics: Likeness and prompt fidelity, as far as they were chosen.
        store: Computes features, each once.
        data: Holds crops/ and split.csv.
    """

    settings: Settings
    prompts: list[Prompt]
    metrics: tuple[Metric, ...]
    store: FeatureStore
    data: Path

    def choose(self, variants: Sequence[Variant], generated: Path, processes: Processes) -> Selection:
        """Applies the rule.

        Args:
            variants: Base and checkpoints.
            generated: A folder for the generated images, replaced.
            processes: Which share the work.

        Returns:
            The preferred checkpoint.

        Raises:
            MetricError: An image cannot be scored, or there is nothing to choose on.
        """
        scores = []
        if self.prompts:
            generate_variants(self.settings, variants, self.prompts, generated, processes)
            samples = read_samples(generated, DEV)
            references = read_references(self.data / layout.SPLIT.name, self.data / layout.CROPS.name)
            scores = [
                score for metric in self.metrics for score in score_images(metric, samples, references, self.store)
            ]
        steps = checkpoint_steps(variant.name for variant in variants)
        evaluate = self.settings.evaluate
        rule = SelectionRule.of(evaluate.select_clip_t_margin, evaluate.margins)
        return select_checkpoint(score_table(scores), steps, rule, [metric.name for metric in self.metrics])


def build_chooser(params: Settings, names: Sequence[str], data: Path, processes: Processes) -> Chooser:
    """Reads what chooses a checkpoint.

    Args:
        params: A stage's parameters.
        names: The chosen metrics; those that the rule does not look at count for nothing.
        data: Holds crops/ and split.csv.
        processes: Which share the work.

    Returns:
        The chooser.

    Raises:
        ConfigError: The prompts cannot be used.
        MissingModelError: A metric model is not on this machine.
        ModelMismatchError: A metric model is not what the configuration says.
    """
    prompts = [prompt for prompt in load_prompts(params.prompts) if prompt.set == DEV]
    metrics = tuple(build(params.metrics[name], f"metrics.{name}") for name in (SUBJECT, PROMPT) if name in names)
    check_models(metrics)
    device = processes.device or choose_device(params.device).type
    store = FeatureStore(params.evaluate.batch_size, device, processes=processes)
    return Chooser(params, prompts, metrics, store, data)


def choose_stage(params: Settings) -> None:
    """Chooses a checkpoint.

    Args:
        params: The stage's parameters.
    """
    check_subject(params)
    names, run = choose_names(params.inference_metrics, list(params.metrics)), Path(params.exp.run_dir)
    with joined(choose_device(params.device).type) as processes:
        variants = list_variants(params)
        chooser = build_chooser(params, names, layout.DATA, processes)
        selection = chooser.choose(variants, run / layout.CHOICE_SAMPLES, processes)
        if processes.rank == 0:
            write_selection(run / layout.CHOICE, selection, adapter_digests(variants))
            print(f"choose: {selection.variant}, {selection.sentence()}", flush=True)
            if selection.missed:
                print(f"choose: WARNING: {selection.missed}", file=sys.stderr)


def main() -> None:
    """Runs the stage."""
    set_environment()
    Stage("choose", choose_stage, load_checkpoint_params, writes=layout.CHOICE, in_run_dir=True, several=True).main()


if __name__ == "__main__":
    main()
