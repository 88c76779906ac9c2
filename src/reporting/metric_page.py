"""The tables of metrics: run, base, real and copy, and the checkpoints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from src.reporting.inputs import Inputs
from src.reporting.scoring import DIRECTION, arrow, development_means, flatten, is_gain, metric_order, unscored
from src.reporting.texts import Texts

ROWS = ("run", "base", "real", "copy")


@dataclass(frozen=True)
class Cell:
    """A value of a table.

    Attributes:
        exact: As in details.json, or empty when there is none.
        shown: Rounded for the eye.
        best: Whether it is the better of run and base.
    """

    exact: str
    shown: str
    best: bool


@dataclass(frozen=True)
class TableRow:
    """A named row of cells; `selected` marks the selected checkpoint."""

    name: str
    cells: tuple[Cell, ...]
    selected: bool


@dataclass(frozen=True)
class MetricTable:
    """Rows by metrics.

    Attributes:
        columns: Metric names.
        arrows: ``↑``, ``↓`` or empty by column.
        rows: The rows.
    """

    columns: tuple[str, ...]
    arrows: tuple[str, ...]
    rows: tuple[TableRow, ...]


@dataclass(frozen=True)
class Difference:
    """The run's difference to base in one metric, with its interval.

    Attributes:
        metric: Its name.
        arrow: ``↑``, ``↓`` or empty.
        mean: The difference, ready to print.
        low: Where the interval begins.
        high: Where it ends.
        verdict: ``better`` or ``worse`` when the interval leaves out zero, ``differs`` when the metric has no better
            side then, else ``unsure``.
    """

    metric: str
    arrow: str
    mean: str
    low: str
    high: str
    verdict: str


@dataclass(frozen=True)
class MetricPage:
    """The metric section: the table, what surrounds it and what its columns mean."""

    table: MetricTable
    differences: tuple[Difference, ...]
    intro: str
    counts: tuple[tuple[str, str], ...]
    legend: tuple[tuple[str, str], ...]
    unscored: tuple[str, ...]


def metric_page(inputs: Inputs, texts: Texts) -> MetricPage:
    """Builds the metric section.

    Args:
        inputs: The tables.
        texts: The words.

    Returns:
        Text, ready to print.
    """
    rows = {name: flatten(inputs.metrics[name]) for name in ROWS if name in inputs.metrics}
    test = inputs.manifest[(inputs.manifest["set"] == "test") & (inputs.manifest["variant"] == inputs.run_variant)]
    table = metric_table(rows, best_of=("run", "base"), selected="run")
    counts = flatten(inputs.metrics["counts"]) if "counts" in inputs.metrics else {}
    return MetricPage(
        table=table,
        differences=differences(inputs.metrics.get("against_base", {})),
        intro=texts("metrics.intro", prompts=test["prompt_id"].nunique(), seeds=test["seed"].nunique()),
        counts=tuple((name, _plain(value)) for name, value in sorted(counts.items())),
        legend=tuple((name, _meaning(name, inputs.meta["models"], texts)) for name in table.columns),
        unscored=tuple(unscored(inputs.scores)),
    )


def differences(against_base: Mapping[str, Mapping[str, float]]) -> tuple[Difference, ...]:
    """Lays out the differences between run and base.

    Args:
        against_base: ``mean``, ``low`` and ``high`` by metric, as in details.json.

    Returns:
        In the order of the other tables.
    """
    return tuple(
        Difference(
            metric=metric,
            arrow=arrow(metric),
            mean=f"{against_base[metric]['mean']:+.4f}",
            low=f"{against_base[metric]['low']:+.4f}",
            high=f"{against_base[metric]['high']:+.4f}",
            verdict=_verdict(metric, against_base[metric]["low"], against_base[metric]["high"]),
        )
        for metric in metric_order(against_base)
    )


def _verdict(metric: str, low: float, high: float) -> str:
    if low <= 0 <= high:
        return "unsure"
    if not DIRECTION.get(metric):
        return "differs"
    return "better" if is_gain(metric, low, high) else "worse"


def checkpoint_tables(inputs: Inputs) -> dict[str, MetricTable]:
    """Builds the tables of checkpoints, the base model first.

    Args:
        inputs: The tables.

    Returns:
        By prompt set: ``dev``, on which the checkpoint is chosen, where there are such scores, and ``test``.
    """
    checkpoints = {name: flatten(means) for name, means in sorted(inputs.metrics["checkpoints"].items())}
    rows = {"dev": development_means(inputs), "test": {"base": flatten(inputs.metrics["base"]), **checkpoints}}
    return {
        prompt_set: metric_table(means, best_of=(), selected=inputs.run_variant)
        for prompt_set, means in rows.items()
        if any(means.values())
    }


def metric_table(rows: Mapping[str, Mapping[str, Any]], best_of: Sequence[str], selected: str) -> MetricTable:
    """Lays rows of metrics out as a table.

    Args:
        rows: Values by metric, by row name.
        best_of: The rows among which the better value is marked.
        selected: The row to set apart.

    Returns:
        The table; a metric that a row lacks is an empty cell.
    """
    columns = metric_order(metric for means in rows.values() for metric in means)
    best = {
        column: _best(column, [rows[name][column] for name in best_of if column in rows.get(name, {})])
        for column in columns
    }
    return MetricTable(
        columns=tuple(columns),
        arrows=tuple(arrow(column) for column in columns),
        rows=tuple(
            TableRow(
                name=name,
                cells=tuple(
                    _cell(means.get(column), name in best_of and means.get(column) == best[column])
                    for column in columns
                ),
                selected=name == selected,
            )
            for name, means in rows.items()
        ),
    )


def _best(column: str, values: Sequence[float]) -> float | None:
    if not DIRECTION.get(column) or len(set(values)) < 2:
        return None
    return max(values, key=lambda value: DIRECTION[column] * value)


def _cell(value: float | None, best: bool) -> Cell:
    if value is None:
        return Cell("", "", best=False)
    return Cell(exact=repr(float(value)), shown=f"{value:.4f}", best=best)


def _plain(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _meaning(metric: str, models: Mapping[str, Mapping[str, str]], texts: Texts) -> str:
    """Says what a column means and which model measured it: several models share the place of DINO and CLIP."""
    name = max((known for known in DIRECTION if f"{metric}_".startswith(f"{known}_")), key=len, default="")
    key = f"metric.{metric if metric in DIRECTION else metric.removeprefix(name).strip('_.')}"
    parts = [texts(key)] if key in texts else []
    if metric in models:
        parts.append(texts("metric.measured_by", title=models[metric]["title"], name=models[metric]["key"]))
    return " ".join(parts)
