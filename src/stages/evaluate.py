"""Scores the generated images. Reads data/samples, metrics/choice.json, data/split.csv, data/crops, data/captions.csv
and the base model's autoencoder; writes metrics/scores.csv (one row per image and metric), nearest.csv, prompts.csv,
metrics.json (what DVC shows), details.json (all means) and metrics_meta.json. Trackers get the numbers and a grid of
the samples.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from src.comparison.selected import Selection, read_selection
from src.core import layout
from src.core.app import Stage
from src.core.building import build, build_each
from src.core.device import choose_device
from src.core.errors import MetricError
from src.core.files import sha256_file, write_csv, write_json
from src.core.processes import Processes, joined
from src.core.sets import TEST
from src.core.settings import Settings
from src.features.store import FeatureStore, image_file
from src.metrics.base import Metric, References, Sample, check_models, models_of, score_images
from src.metrics.copying import nearest_table
from src.metrics.copying_verdict import copying_verdict
from src.metrics.drift import class_kid
from src.metrics.headline import headline
from src.metrics.names import BASE, COPY_DECODED, REAL_DECODED
from src.metrics.quantities import Quantities
from src.metrics.samples import (
    checkpoint_steps,
    copy_samples,
    prompt_digest,
    read_adapters,
    read_references,
    read_samples,
    real_samples,
    sample_rows,
)
from src.metrics.summary import choose_names, prompt_table, score_table, summarise
from src.models.autoencoder import reconstruct
from src.trackers.evaluation import draw_grid, report_evaluation
from src.trackers.multi import CLOSE_DEADLINE_S, start_trackers
from src.trackers.protocol import Service
from src.training.determinism import set_environment

PACKAGES = ("numpy", "open_clip_torch", "pillow", "timm", "torch", "torch-fidelity", "torchmetrics", "torchvision")
# turns photos into files of what the base model's autoencoder gives back
Decoder = Callable[[Sequence[Path]], Sequence[Path]]


@dataclass(frozen=True)
class Compared:
    """What was compared: generated images, reference rows, photos.

    Attributes:
        samples: From the manifest.
        extra: The rows `real` and `copy`, and both through the autoencoder.
        references: Held-out and training photos.
    """

    samples: list[Sample]
    extra: list[Sample]
    references: References


def evaluate_samples(
    data: Path,
    out: Path,
    metrics: Sequence[Metric],
    store: FeatureStore,
    token: str,
    selection: Selection,
    decode: Decoder,
) -> dict[str, Any]:
    """Scores every image with every metric; writes nothing unless all succeed.

    Args:
        data: Holds samples/, crops/, split.csv and captions.csv.
        out: The folder for the six files.
        metrics: The chosen metrics.
        store: Computes features, each once.
        token: The rare token, removed from the captions of real photos.
        selection: The checkpoint that is reported.
        decode: Turns photos into files of what the base model's autoencoder gives back.

    Returns:
        The content of details.json.

    Raises:
        MetricError: Files and manifest disagree, or an image cannot be scored.
        MissingModelError: A metric model is not on this machine.
        ModelMismatchError: A metric model is not what the configuration says.
    """
    check_models(metrics)
    compared = read_compared(data, token, decode)
    _check_selected(compared.samples, selection.variant)
    every = [*compared.samples, *compared.extra]
    scores = [score_images(metric, every, compared.references, store) for metric in metrics]
    table = score_table([score for of_metric in scores for score in of_metric])
    quantities = Quantities(quantity for metric in metrics for quantity in metric.quantities())
    likenesses = [name for name, quantity in quantities.known.items() if quantity.likeness]
    steps = checkpoint_steps(sample.variant for sample in compared.samples)
    summary = summarise(table, steps, selection.variant, class_kid(metrics, compared.samples, store), likenesses)
    copying = copying_verdict(table, selection.variant)
    summary["counts"] |= {"val_photos": len(compared.references.val), "train_photos": len(compared.references.train)}
    meta = {
        **describe_selection(selection),
        "quantities": quantities.describe(),
        "metric_models": {name: metric_model.describe() for name, metric_model in models_of(metrics).items()},
        "copying": None if copying is None else copying[0].value,
        "device": store.device.partition(":")[0],
        "counts": summary["counts"],
        **describe_inputs(compared, data),
    }
    write_csv(out / layout.NEAREST.name, nearest_table(metrics, compared.samples, compared.references, store))
    write_results(out, (table, selection.variant, quantities), summary, meta)
    print(f"evaluate: copying: {'not measured' if copying is None else copying[0].value.replace('_', ' ')}")
    return summary


def _check_selected(samples: Sequence[Sample], selected: str) -> None:
    """Refuses test prompts of another checkpoint than the chosen one."""
    tested = sorted({sample.variant for sample in samples if sample.set == TEST and sample.variant != BASE})
    if selected not in tested:
        raise MetricError(
            f"{layout.MANIFEST}: {selected} was chosen ({layout.CHOICE}), but the test prompts are of "
            f"{', '.join(tested)}; generate them again"
        )


def describe_selection(selection: Selection) -> dict[str, Any]:
    """Returns which checkpoint was chosen and why, as metrics_meta.json holds it."""
    return {
        "selection": {"reason": selection.reason, **selection.figures},
        "bar_missed": bool(selection.missed),
        "selected": selection.variant,
    }


def write_results(
    out: Path, scored: tuple[pd.DataFrame, str, Quantities], summary: dict[str, Any], meta: dict[str, Any]
) -> None:
    """Writes scores.csv, prompts.csv, details.json, metrics.json and metrics_meta.json.

    Args:
        out: The folder.
        scored: All scores, the chosen checkpoint, and what each number means.
        summary: Becomes details.json.
        meta: Becomes metrics_meta.json.
    """
    table, chosen, quantities = scored
    write_csv(out / layout.SCORES.name, table)
    measured_by = " ".join(key for _, key in sorted((q.name, q.key) for q in quantities.known.values() if q.model))
    write_csv(out / layout.PROMPTS.name, prompt_table(table, chosen).assign(measured_by=measured_by))
    write_json(out / layout.DETAILS.name, summary)
    write_json(out / layout.SUMMARY.name, headline(summary, quantities.known))
    write_json(out / layout.META.name, meta)


def read_compared(data: Path, token: str, decode: Decoder) -> Compared:
    """Reads and checks everything that is compared.

    Args:
        data: Holds samples/, crops/, split.csv and captions.csv.
        token: The rare token.
        decode: See `evaluate_samples`.

    Returns:
        Samples and photos.

    Raises:
        MetricError: Files and tables disagree.
    """
    samples = read_samples(data / layout.SAMPLES.name)
    references = read_references(data / layout.SPLIT.name, data / layout.CROPS.name)
    decoded = decode([file.path for file in (*references.val, *references.train)])
    references = replace(references, decoded=tuple(image_file(path) for path in decoded))
    extra = [*real_samples(references, data / layout.CAPTIONS.name, token), *copy_samples(samples, references)]
    return Compared(samples, extra, references)


def describe_inputs(compared: Compared, data: Path) -> dict[str, Any]:
    """Returns the provenance of what was scored: prompts, seeds, photos with their hashes, package versions."""
    files = {"val": compared.references.val, "train": compared.references.train}
    return {
        "text": "the prompt without the rare token; the class noun stays; for real photos the caption likewise",
        "rows": {
            "real": "held-out photos against training photos; *_leave_one_out: against held-out photos of other groups",
            "copy": "training photos in the place of the test images, in turn",
            "(autoencoder)": "both photos as the base model's autoencoder gives them back",
            "*_train": "against the photos trained on; without suffix: against the held-out photos",
        },
        "prompt_set_sha256": prompt_digest(compared.samples),
        "manifest_sha256": sha256_file(data / layout.SAMPLES.name / layout.MANIFEST.name),
        "seeds": sorted({sample.seed for sample in compared.samples}),
        "references": {side: {file.path.name: file.sha256 for file in photos} for side, photos in files.items()},
        "versions": {package: version(package) for package in PACKAGES},
    }


def build_metrics(params: Settings) -> list[Metric]:
    """Instantiates the chosen metrics.

    Args:
        params: With `inference_metrics` and `metrics`.

    Returns:
        One object per chosen name.

    Raises:
        ConfigError: A name is unknown.
    """
    names = choose_names(params.inference_metrics, list(params.metrics))
    return [build(params.metrics[name], f"metrics.{name}") for name in names]


def _run(params: Settings) -> None:
    with joined(choose_device(params.device).type) as processes:
        if processes.rank == 0:
            _evaluate_tracked(params, processes)
        else:
            with TemporaryDirectory() as nowhere:
                _evaluate(params, processes, Path(nowhere))


def _evaluate_tracked(params: Settings, processes: Processes) -> None:
    services: list[Service] = build_each(params.tracker, "tracker")
    name = f"{params.subject.token}-evaluate-{sha256_file(layout.MANIFEST)[:8]}"
    tracker = start_trackers(services, name, 0)
    try:
        summary = _evaluate(params, processes, layout.METRICS)
        tell(summary)
        if services:
            run = _selected()
            rows = sample_rows(read_samples(layout.SAMPLES), run)
            report_evaluation(tracker, summary, draw_grid((BASE, run), rows))
    finally:
        tracker.close(CLOSE_DEADLINE_S)


def _evaluate(params: Settings, processes: Processes, out: Path) -> dict[str, Any]:
    metrics = build_metrics(params)
    device = choose_device(params.device).type
    spec = params.model
    autoencoder = spec.id, spec.revision, spec.variant, spec.config
    store = FeatureStore(params.evaluate.batch_size, processes.device or device, processes=processes)
    with TemporaryDirectory() as folder:
        decode = partial(reconstruct, *autoencoder, device, out=Path(folder))
        selection = read_selection(layout.CHOICE, read_adapters(layout.MANIFEST))
        return evaluate_samples(layout.DATA, out, metrics, store, params.subject.token, selection, decode)


def tell(summary: dict[str, Any]) -> None:
    """Prints the means, and which checkpoint was chosen.

    Args:
        summary: Of `evaluate_samples`.
    """
    for row in ("base", "run", "real", "copy", REAL_DECODED, COPY_DECODED):
        print(f"{row:18}", "  ".join(f"{key}={value:z.4f}" for key, value in summary[row].items()))
    for metric, share in summary["reached"].items():
        print(f"evaluate: {metric} is {share:.0%} of what held-out photos reach through the autoencoder")
    print(f"evaluate: {_selected()} was chosen on the dev prompts")


def _selected() -> str:
    """Returns the chosen checkpoint's name; details.json, of which DVC makes tables, holds numbers alone."""
    return str(json.loads(layout.META.read_text(encoding="utf-8"))["selected"])


def main() -> None:
    """Runs the stage."""
    set_environment()
    Stage("evaluate", _run, writes=layout.SCORES, several=True).main()


if __name__ == "__main__":
    main()
