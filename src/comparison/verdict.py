"""Two evaluated runs side by side: whether they may be compared, and what the comparison says."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from src.comparison.runs import EvaluatedRun, setting
from src.comparison.settings import Differs, differing_keys, is_setting, what_differs
from src.comparison.statistics import (
    DETECTABLE,
    Comparison,
    Finding,
    Verdict,
    adjust,
    blocked_by,
    compare_run_means,
    compare_scores,
    find,
    verdict_of,
)
from src.core.errors import ConfigError, MetricError
from src.core.sets import TEST
from src.metrics.intervals import Unit, reported_rows, score_grid
from src.metrics.names import IDENTITY, PROMPT, SUBJECT

PRIMARIES = (SUBJECT, PROMPT, IDENTITY)
# where more pairs than this share lack a value, a primary metric ends the comparison, another is left out
MAX_MISSING = 0.05
# What must agree; the rest is what may be compared: method, rates, steps, base model.
SAME_META = ("prompt_set_sha256", "seeds", "references")
SAME_PARAMS = ("subject", "sampler", "validation_args")
MARGINS = ("evaluate", "margins")
IGNORED_PARAMS = ("validation_args.batch_size",)


@dataclass(frozen=True)
class Report:
    """B against A.

    Attributes:
        metrics: Every metric that both have and that has an interval.
        margins: Differences of the primary metrics that do not matter: A's evaluate.margins.
        dropped: Pairs left out because one side has no value, by metric.
        comparisons: How many runs are compared with A at the same time, B among them.
        differs: In what the two differ: where it is the seed alone, nothing is said about settings.
    """

    metrics: Mapping[str, Comparison]
    margins: Mapping[str, float]
    dropped: Mapping[str, int]
    comparisons: int
    differs: Differs

    @property
    def verdict(self) -> Verdict:
        """What the primary metrics say together."""
        return verdict_of(self.primary, self.margins, self._adjusted)

    @property
    def findings(self) -> Mapping[str, Finding]:
        """What each primary metric says."""
        return find(self.primary, self.margins, self._adjusted)

    @property
    def blocked(self) -> Mapping[str, int | None]:
        """What keeps it from a verdict, and how many units would do: see `blocked_by`."""
        return blocked_by(self.primary, self.margins, self._adjusted)

    @property
    def primary(self) -> dict[str, Comparison]:
        """The comparisons of the metrics that decide."""
        return {name: self.metrics[name] for name in self.primaries}

    @property
    def _adjusted(self) -> dict[str, float]:
        return adjust(self.primary, self.comparisons)

    @property
    def primaries(self) -> tuple[str, ...]:
        """The metrics that decide."""
        return tuple(name for name in PRIMARIES if name in self.metrics)


def compare_runs(a: EvaluatedRun, b: EvaluatedRun, seed: int) -> Report:
    """Compares the chosen checkpoints of two runs on what each metric is reported on, image by image.

    Args:
        a: The one to beat; its margins count.
        b: The other.
        seed: Of the resampling.

    Returns:
        The report about B, as if no other run were compared with A.

    Raises:
        ConfigError: A primary metric has no margin.
        MetricError: They may not be compared; the message names the field that differs.
    """
    check_comparable(a, b)
    sides = [scored_rows(run) for run in (a, b)]
    metrics: dict[str, Comparison] = {}
    dropped: dict[str, int] = {}
    for name in sorted(set(sides[0].index.get_level_values("metric")) & set(sides[1].index.get_level_values("metric"))):
        both = pd.concat([side.xs(name, level="metric").rename(k) for k, side in zip("ab", sides, strict=True)], axis=1)
        whole = both.dropna()
        dropped[name] = len(both) - len(whole)
        if dropped[name] > MAX_MISSING * len(both):
            if name not in PRIMARIES:
                continue
            raise MetricError(f"{name}: {dropped[name]} of {len(both)} pairs lack a value, more than 5 %")
        comparison = compare_scores(score_grid(whole["b"] - whole["a"], str(name)), seed)
        if comparison is not None:
            metrics[name] = comparison
    return _report(metrics, margins_of(a), dropped, what_differs(a, b))


def compare_configurations(a: Sequence[EvaluatedRun], b: Sequence[EvaluatedRun]) -> Report:
    """Compares two configurations, each trained with several seeds: a run's mean is one observation.

    Args:
        a: Two runs or more of the one to beat; the first one's margins count.
        b: Two runs or more of the other.

    Returns:
        The report about B.

    Raises:
        ConfigError: A primary metric has no margin.
        MetricError: Runs may not be compared, or those of one side differ in more than seeds.
    """
    for side in (a, b):
        if len(side) < 2:
            raise MetricError(f"{side[0].name}: expected two runs or more, of one configuration and several seeds")
        for run in side[1:]:
            if wrong := [key for key in differing_keys(side[0].params, run.params) if is_setting(key)]:
                raise MetricError(f"{side[0].name} and {run.name} are not one configuration: {', '.join(wrong)}")
    for run in [*a[1:], *b]:
        check_comparable(a[0], run)
    means = [[run_means(run) for run in side] for side in (a, b)]
    shared = set.intersection(*(set(of_run) for side in means for of_run in side))
    metrics: dict[str, Comparison] = {}
    for name in sorted(shared):
        first, second = ([of_run[name] for of_run in side] for side in means)
        interval, p = compare_run_means(first, second)
        spread = float(np.sqrt(np.var(first, ddof=1) / len(first) + np.var(second, ddof=1) / len(second)))
        metrics[name] = Comparison(interval, p, DETECTABLE * spread, Unit.RUNS, len(first) + len(second))
    differs = Differs.SEEDS if what_differs(a[0], b[0]) is not Differs.SETTINGS else Differs.SETTINGS
    return _report(metrics, margins_of(a[0]), dict.fromkeys(metrics, 0), differs)


def run_means(run: EvaluatedRun) -> dict[str, float]:
    """Returns the means of a run's chosen checkpoint on what each metric is reported on, each prompt once.

    Args:
        run: The run.

    Returns:
        By metric; one without values is absent.

    Raises:
        MetricError: It has no scores on test prompts.
    """
    means = scored_rows(run).groupby(["metric", "prompt_id"]).mean().groupby("metric").mean().dropna()
    return {str(name): float(value) for name, value in means.items()}


def margins_of(run: EvaluatedRun) -> Mapping[str, float]:
    """Returns the differences of the primary metrics that do not matter, by metric.

    Args:
        run: The run.

    Returns:
        What it was evaluated with.

    Raises:
        MetricError: Its params.yaml has none.
    """
    margins: Mapping[str, float] = setting(run, *MARGINS)
    return margins


def check_comparable(a: EvaluatedRun, b: EvaluatedRun) -> None:
    """Checks that two runs were measured alike.

    Args:
        a: One.
        b: The other.

    Raises:
        MetricError: They were not, and the message names the fields; or one has no margins.
    """
    for run in (a, b):
        margins_of(run)
    if different := differing_fields(a, b):
        raise MetricError(f"{a.name} and {b.name} may not be compared: they differ in {', '.join(different)}")


def differing_fields(a: EvaluatedRun, b: EvaluatedRun) -> list[str]:
    """Lists what two runs must have in common and have not: prompts, seeds, photos, sampler, margins, metric models."""
    fields = [name for name in SAME_META if a.meta.get(name) != b.meta.get(name)]
    for name in SAME_PARAMS:
        fields += differing_keys(a.params.get(name), b.params.get(name), name)
    section, key = MARGINS
    margins = [_mapping(run.params.get(section)).get(key) for run in (a, b)]
    fields += differing_keys(margins[0], margins[1], f"{section}.{key}")
    metric_models = [_mapping(run.meta.get("metric_models")) for run in (a, b)]
    shared = sorted(metric_models[0].keys() & metric_models[1].keys())
    fields += [
        f"metric_models.{name}" for name in shared if _text(metric_models[0][name]) != _text(metric_models[1][name])
    ]
    return [field for field in fields if field not in IGNORED_PARAMS]


def _report(
    metrics: Mapping[str, Comparison], margins: Mapping[str, float], dropped: Mapping[str, int], differs: Differs
) -> Report:
    report = Report(metrics, margins, dropped, comparisons=1, differs=differs)
    if not report.primaries:
        raise MetricError(f"neither of {', '.join(PRIMARIES)} was scored in both runs on two images or more")
    if missing := [name for name in report.primaries if name not in margins]:
        raise ConfigError(f"evaluate.margins: no margin for {', '.join(missing)}")
    return report


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def decisive(run: EvaluatedRun) -> EvaluatedRun:
    """Returns a run with the scores of the primary metrics alone: the others need no intervals where many are compared.

    Args:
        run: The run.

    Returns:
        The same run, less of it.
    """
    return replace(run, scores=run.scores[run.scores["metric"].isin(PRIMARIES)])


def scored_rows(run: EvaluatedRun) -> "pd.Series[Any]":
    """Returns the chosen checkpoint's values on what each metric is reported on.

    Args:
        run: The run.

    Returns:
        By metric, prompt_id and seed; of metrics that have any.

    Raises:
        MetricError: It has no scores on test prompts.
    """
    chosen = run.meta["selected"]
    rows = run.scores[(run.scores["variant"] == chosen) & (run.scores["references"] != "train")]
    if rows[rows["set"] == TEST].empty:
        raise MetricError(f"{run.name}: no scores of {chosen} on test prompts")
    return reported_rows(rows).set_index(["metric", "prompt_id", "seed"])["value"]
