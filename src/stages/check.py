"""Finds before the training what would stop a stage after it: prompts too long for the model, missing metric models.

Reads the base model's tokenizers and the metric models' files, writes data/check_ok.txt.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src.comparison.selection import SelectionRule
from src.core import layout
from src.core.app import Stage
from src.core.errors import CaptionError, ConfigError
from src.core.files import work_root, write_text
from src.core.nested import flatten
from src.core.remotes import unverified_remotes
from src.core.sets import UNRELATED
from src.core.settings import Settings
from src.core.typed import plain
from src.core.weights import check_sums, find_model
from src.data.captioning import check_length, load_tokenizers
from src.metrics.base import Metric, check_models
from src.reporting.texts import load_texts
from src.sampling.prompts import all_prompts
from src.stages.evaluate import build_metrics
from src.stages.memory import check_generating
from src.stages.sampling_setup import check_base, image_counts, sampling_settings

# `dvc repro` takes changed files for a new version, so what it recorded goes back first
BACK = (
    f"`git checkout HEAD -- {layout.EMBEDDED}.dvc && dvc checkout --force {layout.EMBEDDED}` brings them back, "
    "or then `dvc pull`"
)
CHOICES = "`python -m src.stages.config set prompts=...` takes another file of configs/prompts (tabletop: short ones)"


def check_ahead(texts: Mapping[str, str], tokenizers: Mapping[str, Any], metrics: Sequence[Metric]) -> None:
    """Checks what generate and evaluate will need.

    Args:
        texts: What will be generated, under names that messages may use.
        tokenizers: The tokenizers of the base model.
        metrics: The chosen metrics.

    Raises:
        CaptionError: A text is longer than a tokenizer takes.
        MissingModelError: A metric model is not on this machine.
        ModelMismatchError: A metric model is not what the configuration says.
    """
    try:
        check_length(texts, tokenizers)
    except CaptionError as error:
        raise CaptionError(f"{error}\nchoose shorter ones: {CHOICES}") from error
    check_models(metrics)


def check_settings(params: Settings, metrics: Sequence[Metric]) -> None:
    """Checks what evaluate and report would refuse after the training.

    Args:
        params: The stage's parameters.
        metrics: The chosen metrics.

    Raises:
        ConfigError: A margin is not above zero, the report has no such language, or a metric would have no images.
    """
    SelectionRule.of(params.evaluate.select_clip_t_margin, params.evaluate.margins)
    load_texts(params.report.language)
    check_generating(params)
    values = params.validation_args
    for key in ("num_subject_only_images", "num_unrelated_images"):
        if getattr(values, key) < 0:
            raise ConfigError(f"validation_args.{key}={getattr(values, key)}: expected 0 or more")
    counts = image_counts(params)
    for metric in metrics:
        generated = [name for name in metric.sets if name in counts]
        if not any(counts[name] for name in generated):
            key = "num_unrelated_images" if UNRELATED in generated else "num_subject_only_images"
            wanted = f"{metric.name} of inference_metrics needs 1 or more"
            raise ConfigError(f"validation_args.{key}={getattr(values, key)}: {wanted}")


def texts_to_encode(params: Settings) -> dict[str, str]:
    """Returns every text that generate will have encoded, by the key that it comes from."""
    token, class_name = params.subject.token, params.subject.class_name
    values = params.validation_args
    prompts = all_prompts(params.prompts, values.subject_only_prompt, values.unrelated_prompts)
    with_token = {f"prompts.{p.set}.{p.id}": p.with_token(token, class_name) for p in prompts}
    plain = {f"prompts.{p.set}.{p.id} for the base model": p.plain(class_name) for p in prompts}
    return with_token | plain | {"validation_args.negative_prompt": values.negative_prompt}


def check_embedded(params: Settings) -> None:
    """Compares the embedded models with the project's SHA-256s, where a parameter names one.

    Args:
        params: The stage's parameters.

    Raises:
        ModelMismatchError: A file is missing or has other bytes.
    """
    if any(str(value).startswith(f"{layout.EMBEDDED}/") for value in flatten(plain(params)).values()):
        check_sums(layout.EMBEDDED_SUMS, BACK)


def check_remotes(root: Path) -> None:
    """Refuses a remote from which DVC would take a damaged object for good.

    Args:
        root: The repository.

    Raises:
        ConfigError: `verify` of a remote is not true.
    """
    names = unverified_remotes(root)
    if names:
        commands = " and ".join(f"`dvc remote modify {name} verify true`" for name in names)
        raise ConfigError(f"DVC takes damaged objects of {', '.join(names)} for good: run {commands}")


def _run(params: Settings) -> None:
    check_remotes(work_root())
    check_embedded(params)
    check_base(params, sampling_settings(params))
    metrics = build_metrics(params)
    check_settings(params, metrics)
    model = find_model(params.model.id, params.model.revision, config=params.model.config)
    check_ahead(texts_to_encode(params), load_tokenizers(model), metrics)
    if params.check.note:
        print(f"check: {params.check.note}")
    write_text(layout.CHECK_OK, "prompts fit the model, metric models are here\n")


def main() -> None:
    """Runs the stage."""
    Stage("check", _run).main()


if __name__ == "__main__":
    main()
