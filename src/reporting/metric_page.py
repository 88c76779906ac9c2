"""The tables of metrics: run, base, real and copy, and the checkpoints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from src.core.nested import flatten
from src.metrics.intervals import reported_rows
from src.metrics.names import COPY_DECODED, FACE_RATE, IDENTITY, NEAREST, PROMPT, REAL, REAL_DECODED, SUBJECT, TEST
from src.reporting.inputs import Inputs
from src.reporting.scoring import DIRECTION, arrow, development_means, labels, metric_order, unscored, verdict
from src.reporting.texts import Texts

ROWS = ("run", "base", "real", "copy", REAL_DECODED, COPY_DECODED)
# what is shown before the rest is unfolded, each with the key of its name in words
HEADLINE = {
    IDENTITY: "identity",
    FACE_RATE: "faces",
    SUBJECT: "subject",
    PROMPT: "prompt",
    "div_lpips": "diversity",
    NEAREST: "nearest",
}
# beside which rows of the table a headline stands, and then the best that is reachable
BESIDE = ("base", "run")
SHOWN_WITHOUT_HEADLINES = 3


@dataclass(frozen=True)
class Cell:
    """A value of a table.

    Attributes:
        exact: As in details.json, or empty when there is none.
        shown: Rounded for the eye.
        verdict: Of its difference to what it is compared with, see `verdict`; empty where there is no interval.
    """

    exact: str
    shown: str
    verdict: str


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
        verdict: See `scoring.verdict`.
    """

    metric: str
    arrow: str
    mean: str
    low: str
    high: str
    verdict: str


@dataclass(frozen=True)
class Headline:
    """One of the metrics that are shown first.

    Attributes:
        metric: Its name in the tables.
        name: What it measures, in words; empty where there are none.
        arrow: ``↑``, ``↓`` or empty.
        cells: Of the rows BESIDE and of the best row.
        difference: To base, where there is an interval.
    """

    metric: str
    name: str
    arrow: str
    cells: tuple[Cell, ...]
    difference: Difference | None


@dataclass(frozen=True)
class MetricPage:
    """The metric section: the headlines, the whole table, what surrounds it and what its columns mean.

    `best` is the row that shows what is reachable: the subject as the model could draw it, where that was measured.
    """

    best: str
    headlines: tuple[Headline, ...]
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
    rows = {name: inputs.metrics[name] for name in ROWS if name in inputs.metrics}
    test = inputs.manifest[(inputs.manifest["set"] == "test") & (inputs.manifest["variant"] == inputs.run_variant)]
    found = differences(inputs.metrics.get("against_base", {}))
    table = metric_table(rows, {"run": {row.metric: row.verdict for row in found}}, selected="run")
    counts = flatten(inputs.metrics["counts"]) if "counts" in inputs.metrics else {}
    shares, label = inputs.metrics.get("reached", {}), labels(inputs)
    of_best = [
        texts("metrics.reached", metric=label(name), share=f"{share:.0%}") for name, share in sorted(shares.items())
    ]
    best = REAL_DECODED if rows.get(REAL_DECODED) else REAL
    beside = [rows.get(name, {}) for name in (*BESIDE, best)]
    return MetricPage(
        best=best,
        headlines=tuple(_headline(metric, beside, found, texts) for metric in headline_metrics(table.columns)),
        table=table,
        differences=found,
        intro=" ".join(
            [
                texts("metrics.intro", prompts=test["prompt_id"].nunique(), seeds=test["seed"].nunique()),
                *of_best,
                *_rests_on(inputs, texts),
            ]
        ),
        counts=tuple((name, _plain(value)) for name, value in sorted(counts.items())),
        legend=tuple((name, _meaning(name, inputs.meta["models"], texts)) for name in table.columns),
        unscored=tuple(unscored(inputs.scores)),
    )


def _rests_on(inputs: Inputs, texts: Texts) -> list[str]:
    """Says how many images the figures rest on that are no means over the test prompts."""
    rows = reported_rows(inputs.scores)
    rows = rows[(rows["variant"] == inputs.run_variant) & rows["value"].notna() & (rows["set"] != TEST)]
    counts = (
        rows.drop_duplicates(["metric", "prompt_id", "seed"])
        .groupby(["metric", "set"])
        .size()
        .reset_index(name="images")
    )
    label, order = labels(inputs), metric_order(counts["metric"])
    return [
        texts(f"metrics.rests_on.{row.set}", metric=label(str(row.metric)), count=row.images)
        for row in sorted(counts.itertuples(), key=lambda row: order.index(str(row.metric)))
    ]


def headline_metrics(columns: Sequence[str]) -> tuple[str, ...]:
    """Returns the metrics that are shown first: those of HEADLINE, or the first ones where there is none of them."""
    return tuple(name for name in HEADLINE if name in columns) or tuple(columns[:SHOWN_WITHOUT_HEADLINES])


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
            mean=f"{against_base[metric]['mean']:+z.4f}",
            low=f"{against_base[metric]['low']:+z.4f}",
            high=f"{against_base[metric]['high']:+z.4f}",
            verdict=verdict(metric, against_base[metric]["low"], against_base[metric]["high"]),
        )
        for metric in metric_order(against_base)
    )


def checkpoint_tables(inputs: Inputs) -> dict[str, MetricTable]:
    """Builds the tables of checkpoints, the base model first.

    Args:
        inputs: The tables.

    Returns:
        By prompt set: ``dev``, on which the checkpoint is chosen, where there are such scores, and ``test``.
    """
    checkpoints = dict(sorted(inputs.metrics["checkpoints"].items()))
    rows = {"dev": development_means(inputs), "test": {"base": inputs.metrics["base"], **checkpoints}}
    return {
        prompt_set: metric_table(means, {}, selected=inputs.run_variant)
        for prompt_set, means in rows.items()
        if any(means.values())
    }


def narrowed(table: MetricTable) -> MetricTable:
    """Returns a table with the columns alone that are shown first."""
    places = [table.columns.index(name) for name in headline_metrics(table.columns)]
    return MetricTable(
        columns=tuple(table.columns[place] for place in places),
        arrows=tuple(table.arrows[place] for place in places),
        rows=tuple(replace(row, cells=tuple(row.cells[place] for place in places)) for row in table.rows),
    )


def metric_table(
    rows: Mapping[str, Mapping[str, Any]], verdicts: Mapping[str, Mapping[str, str]], selected: str
) -> MetricTable:
    """Lays rows of metrics out as a table.

    Args:
        rows: Values by metric, by row name.
        verdicts: What the intervals of differences bear out by metric, by row name; the rest is not coloured.
        selected: The row to set apart.

    Returns:
        The table; a metric that a row lacks is an empty cell.
    """
    columns = metric_order(metric for means in rows.values() for metric in means)
    return MetricTable(
        columns=tuple(columns),
        arrows=tuple(arrow(column) for column in columns),
        rows=tuple(
            TableRow(
                name=name,
                cells=tuple(_cell(means.get(column), verdicts.get(name, {}).get(column, "")) for column in columns),
                selected=name == selected,
            )
            for name, means in rows.items()
        ),
    )


def _headline(metric: str, beside: Sequence[Mapping[str, Any]], found: Sequence[Difference], texts: Texts) -> Headline:
    of_metric = next((row for row in found if row.metric == metric), None)
    return Headline(
        metric=metric,
        name=texts(f"headline.{HEADLINE[metric]}") if metric in HEADLINE else "",
        arrow=arrow(metric),
        cells=tuple(_cell(row.get(metric), "") for row in beside),
        difference=of_metric,
    )


def _cell(value: float | None, said: str) -> Cell:
    if value is None:
        return Cell("", "", "")
    return Cell(exact=repr(float(value)), shown=f"{value:z.4f}", verdict=said)


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
