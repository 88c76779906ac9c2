"""Two evaluated runs side by side: whether they may be compared, and what the comparison says."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from src.core.errors import ConfigError, MetricError
from src.metrics.names import IDENTITY, PROMPT, SUBJECT
from src.metrics.statistics import DETECTABLE, Comparison, Verdict, compare_run_means, compare_scores, judge

PRIMARIES = (SUBJECT, PROMPT, IDENTITY)
# a comparison of which more pairs than this share lack a value is none
MAX_MISSING = 0.05
# What must agree; the rest is what may be compared: method, rates, steps, base model.
SAME_META = ("prompt_set_sha256", "seeds", "references")
SAME_PARAMS = ("subject", "sampler", "validation_args")
IGNORED_PARAMS = ("batch_size",)
# What may differ between runs of one configuration.
SEED_PARAMS = ("seed", "prior", "configs_digest")


@dataclass(frozen=True)
class EvaluatedRun:
    """What evaluate wrote about a run.

    Attributes:
        name: Revision, experiment or folder.
        scores: scores.csv.
        meta: metrics_meta.json.
        params: params.yaml.
    """

    name: str
    scores: pd.DataFrame
    meta: Mapping[str, Any]
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Report:
    """B against A.

    Attributes:
        metrics: Every metric that both have.
        verdict: From the primary metrics.
        dropped: Pairs left out because one side has no value, by metric.
    """

    metrics: Mapping[str, Comparison]
    verdict: Verdict
    dropped: Mapping[str, int]


def compare_runs(a: EvaluatedRun, b: EvaluatedRun, margins: Mapping[str, float], seed: int) -> Report:
    """Compares the chosen checkpoints of two runs on the test prompts, image by image.

    Args:
        a: The one to beat.
        b: The other.
        margins: Differences of the primary metrics that do not matter.
        seed: Of the resampling.

    Returns:
        The report about B.

    Raises:
        MetricError: They may not be compared; the message names the field that differs.
    """
    if different := differing_fields(a, b):
        raise MetricError(f"{a.name} and {b.name} may not be compared: they differ in {', '.join(different)}")
    sides = [_test_rows(run) for run in (a, b)]
    metrics: dict[str, Comparison] = {}
    dropped: dict[str, int] = {}
    for name in sorted(set(sides[0].index.get_level_values("metric")) & set(sides[1].index.get_level_values("metric"))):
        both = pd.concat([side.xs(name, level="metric").rename(k) for k, side in zip("ab", sides, strict=True)], axis=1)
        whole = both.dropna()
        dropped[name] = len(both) - len(whole)
        if dropped[name] > MAX_MISSING * len(both):
            raise MetricError(f"{name}: {dropped[name]} of {len(both)} pairs lack a value, more than 5 %")
        grid = (whole["b"] - whole["a"]).unstack("seed").dropna().to_numpy(dtype=np.float64)
        if len(grid) > 1:
            metrics[name] = compare_scores(grid, seed)
    return Report(metrics, _verdict(metrics, margins), dropped)


def compare_configurations(
    a: Sequence[EvaluatedRun], b: Sequence[EvaluatedRun], margins: Mapping[str, float]
) -> Report:
    """Compares two configurations, each trained with several seeds: a run's mean is one observation.

    Args:
        a: Two runs or more of the one to beat.
        b: Two runs or more of the other.
        margins: Differences of the primary metrics that do not matter.

    Returns:
        The report about B; `prompts` of each comparison counts runs.

    Raises:
        MetricError: Runs may not be compared, or those of one side differ in more than seeds.
    """
    for side in (a, b):
        if len(side) < 2:
            raise MetricError(f"{side[0].name}: expected two runs or more, of one configuration and several seeds")
        for run in side[1:]:
            keys = sorted((side[0].params.keys() | run.params.keys()) - set(SEED_PARAMS))
            if wrong := [key for key in keys if side[0].params.get(key) != run.params.get(key)]:
                raise MetricError(f"{side[0].name} and {run.name} are not one configuration: {', '.join(wrong)}")
    for run in [*a[1:], *b]:
        if different := differing_fields(a[0], run):
            raise MetricError(f"{a[0].name} and {run.name} may not be compared: they differ in {', '.join(different)}")
    means = [
        [_test_rows(run).groupby(["metric", "prompt_id"]).mean().groupby("metric").mean() for run in s] for s in (a, b)
    ]
    shared = set.intersection(*(set(of_run.dropna().index) for side in means for of_run in side))
    metrics: dict[str, Comparison] = {}
    for name in sorted(shared):
        first, second = ([float(of_run[name]) for of_run in side] for side in means)
        interval, p = compare_run_means(first, second)
        spread = float(np.sqrt(np.var(first, ddof=1) / len(first) + np.var(second, ddof=1) / len(second)))
        metrics[name] = Comparison(interval, p, DETECTABLE * spread, len(first) + len(second), few_prompts=True)
    return Report(metrics, _verdict(metrics, margins), dict.fromkeys(metrics, 0))


def _verdict(metrics: Mapping[str, Comparison], margins: Mapping[str, float]) -> Verdict:
    primaries = {name: metrics[name] for name in PRIMARIES if name in metrics}
    if not primaries:
        raise MetricError(f"neither of {', '.join(PRIMARIES)} was scored in both runs on two prompts or more")
    if missing := [name for name in primaries if name not in margins]:
        raise ConfigError(f"evaluate.margins: no margin for {', '.join(missing)}")
    return judge(primaries, margins)


def differing_fields(a: EvaluatedRun, b: EvaluatedRun) -> list[str]:
    """Lists what two runs must have in common and have not: prompts, seeds, photos, sampler, judges."""
    fields = [name for name in SAME_META if a.meta.get(name) != b.meta.get(name)]
    for name in SAME_PARAMS:
        fields += _differing_keys(name, _mapping(a.params.get(name)), _mapping(b.params.get(name)))
    judges = [_mapping(run.meta.get("judges")) for run in (a, b)]
    shared = sorted(judges[0].keys() & judges[1].keys())
    return fields + [f"judges.{name}" for name in shared if _text(judges[0][name]) != _text(judges[1][name])]


def _differing_keys(section: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    keys: Sequence[str] = sorted(a.keys() | b.keys())
    return [f"{section}.{key}" for key in keys if key not in IGNORED_PARAMS and a.get(key) != b.get(key)]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _test_rows(run: EvaluatedRun) -> "pd.Series[Any]":
    chosen = run.meta["selected"]
    rows = run.scores[(run.scores["set"] == "test") & (run.scores["variant"] == chosen)]
    rows = rows[rows["references"] != "train"]
    if rows.empty:
        raise MetricError(f"{run.name}: no scores of {chosen} on test prompts")
    return rows.set_index(["metric", "prompt_id", "seed"])["value"]
