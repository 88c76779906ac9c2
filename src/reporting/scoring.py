"""Means, directions and orders of metrics; the page prints what evaluate computed and adds nothing of its own."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import pandas as pd

from src.metrics.intervals import reported_rows
from src.metrics.names import DEV, TEST
from src.reporting.inputs import Inputs

# +1: higher is better, -1: lower, 0: neither, as for a metric that is not listed; a copy_gap far below 0 is no merit
DIRECTION = {
    "dino": 1,
    "dino_crop": 1,
    "dinov2": 1,
    "clip_i": 1,
    "clip_t": 1,
    "div_lpips": 1,
    "pres": -1,
    "kid": -1,
    "nn_train": 0,
    "copy_gap": 0,
    "part_train": 0,
    "id_sim_all": 1,
    "id_sim_detected": 1,
    "face_rate": 1,
}
# judges of the literature, by the names that keys give them: a metric's bare name means one of these
PUBLISHED = ("vits16", "vitb32", "vits14", "alexnet", "sface", "buffalo_l")
# columns against which an image's own likeness counts; "train" is the memorisation side
JUDGED = ("val", "none")


def arrow(metric: str) -> str:
    """Returns ``↑`` where higher is better, ``↓`` where lower is, nothing where a metric has no better side."""
    return {1: "↑", -1: "↓", 0: ""}[DIRECTION.get(metric, 0)]


def verdict(metric: str, low: float, high: float) -> str:
    """Says what an interval of differences bears out; every page colours and concludes by this rule alone.

    Args:
        metric: Its name.
        low: Where the interval begins.
        high: Where it ends.

    Returns:
        ``unsure`` where it holds zero, else ``better`` or ``worse``; ``differs`` where a metric has no better side.
    """
    if low <= 0 <= high:
        return "unsure"
    direction = DIRECTION.get(metric, 0)
    if not direction:
        return "differs"
    return "better" if direction * low > 0 else "worse"


def shown_name(metric: str, models: Mapping[str, Mapping[str, str]]) -> str:
    """Names a metric for people, wherever they read it: with the model that measured, unless that is the published one.

    Args:
        metric: For example ``dino_train``.
        models: The model behind each metric, as in metrics_meta.json.

    Returns:
        For example ``dino_tabletop_train``, and ``dino_train`` where DINO ViT-S/16 measured.
    """
    name = max((known for known in models if f"{metric}_".startswith(f"{known}_")), key=len, default="")
    key = models[name]["key"] if name else ""
    if not name or key.removeprefix(f"{name}_") in PUBLISHED:
        return metric
    return f"{key}{metric.removeprefix(name)}"


def labels(inputs: Inputs) -> Callable[[str], str]:
    """Returns what names a metric on this page, see `shown_name`."""
    return partial(shown_name, models=inputs.meta["models"])


def metric_order(names: Iterable[str]) -> list[str]:
    """Orders metric names: the known ones as in DIRECTION, then the others by name."""
    known = list(DIRECTION)
    return sorted(set(names), key=lambda name: (known.index(name) if name in DIRECTION else len(known), name))


def development_means(inputs: Inputs) -> dict[str, dict[str, float]]:
    """Returns the means on the prompts that the checkpoint is chosen on: of base first, then of each checkpoint."""
    return {
        variant: prompt_means(inputs.scores, variant, "dev")
        for variant in ("base", *sorted(inputs.metrics["checkpoints"]))
    }


def prompt_means(scores: pd.DataFrame, variant: str, prompt_set: str) -> dict[str, float]:
    """Averages a variant's scores, each prompt counting once.

    Args:
        scores: scores.csv.
        variant: For example ``base``.
        prompt_set: ``dev`` or ``test``.

    Returns:
        The mean by metric, rounded like details.json.
    """
    rows = _judged(scores, variant, prompt_set)
    by_prompt = rows.groupby(["metric", "prompt_id"], sort=True)["value"].mean()
    return {str(metric): round(float(value), 6) for metric, value in by_prompt.groupby(level=0).mean().items()}


def group_means(scores: pd.DataFrame, variant: str) -> pd.DataFrame:
    """Averages a variant's test scores per prompt group, each prompt counting once.

    Args:
        scores: scores.csv.
        variant: For example ``base``.

    Returns:
        Columns metric, group, value, and prompts: how many there are with a value.
    """
    rows = _judged(scores, variant, "test")
    by_prompt = rows.groupby(["metric", "group", "prompt_id"], sort=True)["value"].mean()
    groups = by_prompt.groupby(level=[0, 1])
    return groups.mean().round(6).reset_index().assign(prompts=groups.size().to_numpy())


def image_scores(scores: pd.DataFrame) -> dict[tuple[str, str, str], dict[str, float]]:
    """Returns the judged scores of each image by (variant, prompt_id, seed), then by metric."""
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    judged = scores[scores["references"].isin(JUDGED) & scores["value"].notna()]
    columns = judged[["variant", "prompt_id", "seed", "metric", "value"]]
    for variant, prompt_id, seed, metric, value in columns.itertuples(index=False, name=None):
        found.setdefault((variant, prompt_id, seed), {})[metric] = value
    return found


def unscored(scores: pd.DataFrame) -> list[str]:
    """Counts the rows without a value, by metric and reason, one line each; a metric is missed where it is reported."""
    shown = reported_rows(scores)
    elsewhere = set(shown["metric"]) - set(shown.loc[shown["set"] == TEST, "metric"])
    rows = scores[scores["value"].isna() & ~(scores["metric"].isin(elsewhere) & scores["set"].isin([DEV, TEST]))]
    counts = Counter(rows[["metric", "reason"]].itertuples(index=False, name=None))
    return [f"{count} × {metric}: {reason}" for (metric, reason), count in sorted(counts.items())]


def _judged(scores: pd.DataFrame, variant: str, prompt_set: str) -> pd.DataFrame:
    chosen = (scores["variant"] == variant) & (scores["set"] == prompt_set) & scores["references"].isin(JUDGED)
    return scores[chosen & scores["value"].notna()]
