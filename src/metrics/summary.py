"""From scores to means: every mean is taken over a prompt's images first, then over prompts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from src.core.errors import ConfigError, MetricError
from src.core.sets import DEV, PHOTOS, TEST
from src.metrics.base import Score
from src.metrics.copying import copying_summary
from src.metrics.drift import Drift
from src.metrics.intervals import against_base, reported_rows
from src.metrics.names import ALIASES, BASE, COPY, COPY_DECODED, HELD_OUT_ROWS, KID, REAL, REAL_DECODED

DIGITS = 6
COLUMNS = ("variant", "prompt_id", "set", "group", "seed", "metric", "references", "value", "reason")
SORTED_BY = ["variant", "prompt_id", "seed", "metric", "references"]
# what a metric's references add to its key; for generated images the held-out photos are the number that counts
SUFFIXES = {"val": "", "train": "_train", "none": ""}
REAL_SUFFIXES = {"train": "", "val": "_leave_one_out", "none": ""}


def choose_names(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Resolves the names in `inference_metrics`.

    Args:
        names: What the user wrote; the aliases of the assignment are accepted.
        known: What there is.

    Returns:
        Known names, in the user's order.

    Raises:
        ConfigError: A name is unknown or chosen twice, or there is none.
    """
    chosen = [ALIASES.get(name, name) for name in names]
    if unknown := [name for name in chosen if name not in known]:
        raise ConfigError(
            f"inference_metrics: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))} "
            f"and the aliases {', '.join(f'{alias} ({name})' for alias, name in sorted(ALIASES.items()))}"
        )
    if not chosen or len(set(chosen)) < len(chosen):
        raise ConfigError(f"inference_metrics: expected at least one metric, each once, found {list(names)}")
    return chosen


def score_table(scores: Sequence[Score]) -> pd.DataFrame:
    """Lays scores out as a table.

    Args:
        scores: Of every metric.

    Returns:
        One row per image, metric and references, sorted, values rounded; a missing value is NaN beside its reason.

    Raises:
        MetricError: Two metrics write the same row: two models would share a key.
    """
    rows = [
        (
            *(score.sample.variant, score.sample.prompt_id, score.sample.set, score.sample.group, score.sample.seed),
            *(score.metric, score.references, None if score.value is None else rounded(score.value), score.reason),
        )
        for score in scores
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"value": float}).sort_values(SORTED_BY, ignore_index=True)
    if len(twice := table[table.duplicated(SORTED_BY)]):
        raise MetricError(f"scored twice for the same image: {', '.join(sorted(set(twice['metric'])))}")
    return table


def mean_scores(table: pd.DataFrame, variant: str, prompt_set: str) -> dict[str, float]:
    """Returns a variant's mean of each metric on one prompt set.

    Args:
        table: From `score_table`.
        variant: For example ``base``.
        prompt_set: One of DRAWN_SETS, or ``none``.

    Returns:
        Rounded means by metric, with a suffix for references other than the usual; a metric without values is absent.
    """
    return _means(table[table["set"] == prompt_set], variant)


def reported_means(table: pd.DataFrame, variant: str) -> dict[str, float]:
    """Returns a variant's figures: of each metric the mean on what it is reported on, see `reported_rows`.

    Args:
        table: From `score_table`.
        variant: For example ``base``.

    Returns:
        As `mean_scores`.
    """
    return _means(reported_rows(table), variant)


def _means(table: pd.DataFrame, variant: str) -> dict[str, float]:
    rows = table[table["variant"] == variant].dropna(subset="value")
    prompts = rows.groupby(["metric", "references", "prompt_id"])["value"].mean()
    means = prompts.groupby(["metric", "references"]).mean().reset_index().to_numpy().tolist()
    suffixes = REAL_SUFFIXES if variant in HELD_OUT_ROWS else SUFFIXES
    return {f"{metric}{suffixes[refs]}": rounded(float(mean)) for metric, refs, mean in means}


def reached(table: pd.DataFrame, variant: str, likenesses: Sequence[str]) -> dict[str, float]:
    """Divides a variant's likeness by that of held-out photos through the autoencoder: what is reachable at best.

    Args:
        table: From `score_table`.
        variant: The checkpoint.
        likenesses: The metrics of likeness to the subject.

    Returns:
        The share by metric, 1 where the images are as like as the subject itself; nothing where there are
        no such photos or their likeness is not above 0.
    """
    own, best = mean_scores(table, variant, TEST), mean_scores(table, REAL_DECODED, PHOTOS)
    names = [name for name in likenesses if name in own and best.get(name, 0) > 0]
    return {name: rounded(own[name] / best[name]) for name in names}


def summarise(
    table: pd.DataFrame, steps: dict[str, int], chosen: str, drift: Mapping[str, Drift], likenesses: Sequence[str]
) -> dict[str, Any]:
    """Builds details.json: all means, counts and intervals, numbers only.

    Args:
        table: From `score_table`.
        steps: The step of each checkpoint variant.
        chosen: The chosen checkpoint.
        drift: From `class_kid`.
        likenesses: The metrics of likeness to the subject, see `Quantity`.

    Returns:
        Means of run, base and copy on what each metric is reported on, of every checkpoint on the dev prompts, of the
        held-out photos, counts, and the run's difference to base with its 95 % interval.
    """
    run = reported_means(table, chosen)
    if chosen in drift:
        run[KID] = rounded(drift[chosen].kid)
    scored = table.groupby("metric")["value"].agg(["count", "size"])
    generated = table[table["variant"] == BASE].drop_duplicates(["prompt_id", "seed"])
    intervals = against_base(table, chosen)
    if chosen in drift and (of_kid := drift[chosen].interval) is not None:
        intervals[KID] = of_kid
    return {
        "run": run,
        "against_base": {
            metric: {name: rounded(value) for name, value in asdict(interval).items()}
            for metric, interval in intervals.items()
        },
        BASE: reported_means(table, BASE),
        REAL: mean_scores(table, REAL, PHOTOS),
        COPY: mean_scores(table, COPY, TEST),
        REAL_DECODED: mean_scores(table, REAL_DECODED, PHOTOS),
        COPY_DECODED: mean_scores(table, COPY_DECODED, TEST),
        "reached": reached(table, chosen, likenesses),
        "copying": {name: rounded(value) for name, value in copying_summary(table, chosen).items()},
        "checkpoints": {variant: mean_scores(table, variant, DEV) for variant in steps},
        "selected_step": steps[chosen],
        "counts": {
            "images_per_variant": len(generated),
            "test_prompts": int(generated[generated["set"] == TEST]["prompt_id"].nunique()),
            "dev_prompts": int(generated[generated["set"] == DEV]["prompt_id"].nunique()),
            "scored": {str(metric): int(row["count"]) for metric, row in scored.iterrows()},
            "without_value": {str(metric): int(row["size"] - row["count"]) for metric, row in scored.iterrows()},
        },
    }


def prompt_table(table: pd.DataFrame, variant: str) -> pd.DataFrame:
    """Returns each test prompt's means of a variant and of base (columns `<metric>` and `<metric>_base`).

    Args:
        table: From `score_table`.
        variant: The run's checkpoint.

    Returns:
        One row per test prompt, against held-out photos, sorted by group and prompt.
    """
    rows = table[(table["set"] == TEST) & (table["references"] != "train")]
    rows = rows[rows["variant"].isin([variant, BASE])]
    names = rows["metric"] + rows["variant"].map({variant: "", BASE: "_base"})
    means = rows.assign(column=names).groupby(["group", "prompt_id", "column"])["value"].mean()
    return means.map(rounded).unstack("column").sort_index().reset_index()


def rounded(value: float) -> float:
    """Rounds to the digits that are stored; never minus zero."""
    return round(value, DIGITS) + 0.0
