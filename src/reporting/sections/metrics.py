"""The metrics: what run, base, real and copy came to, and how far the run differs from base."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from src.core.nested import flatten
from src.core.sets import TEST
from src.core.settings import Settings
from src.metrics.intervals import Interval, reported_rows
from src.metrics.names import COPY_DECODED, REAL, REAL_DECODED
from src.metrics.quantities import Quantities
from src.reporting.charts import forest
from src.reporting.inputs import Inputs
from src.reporting.metric_tables import HEADLINES, Cell, MetricTable, headline_metrics, metric_table, to_cell
from src.reporting.scoring import unscored
from src.reporting.templating import Section
from src.reporting.texts import Texts

ROWS = ("run", "base", "real", "copy", REAL_DECODED, COPY_DECODED)
# beside which rows of the table a headline stands, and then the best that is reachable
BESIDE = ("base", "run")


@dataclass(frozen=True)
class Difference:
    """The run's difference to base in one metric, with its interval.

    Attributes:
        metric: Its name.
        arrow: ``↑``, ``↓`` or empty.
        mean: The difference, ready to print.
        low: Where the interval begins.
        high: Where it ends.
        verdict: See `Quantities.verdict`.
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

    `best` is the row that shows what is reachable: the subject as the model could generate it, where that was measured.
    """

    best: str
    headlines: tuple[Headline, ...]
    table: MetricTable
    differences: tuple[Difference, ...]
    intro: str
    counts: tuple[tuple[str, str], ...]
    legend: tuple[tuple[str, str], ...]
    unscored: tuple[str, ...]


def section(inputs: Inputs, params: Settings, texts: Texts) -> Section:
    """Builds the section."""
    gained = {metric: Interval(**values) for metric, values in inputs.metrics.get("against_base", {}).items()}
    title = texts("axis.difference")
    chart = forest({texts("series.run"): gained}, params.evaluate.margins, title, inputs.quantities) if gained else None
    return Section({"metrics": metric_page(inputs, texts)}, {"forest": chart})


def metric_page(inputs: Inputs, texts: Texts) -> MetricPage:
    """Builds the metric section.

    Args:
        inputs: The tables.
        texts: The words.

    Returns:
        Text, ready to print.
    """
    rows = {name: inputs.metrics[name] for name in ROWS if name in inputs.metrics}
    test = inputs.manifest[(inputs.manifest["set"] == TEST) & (inputs.manifest["variant"] == inputs.run_variant)]
    quantities = inputs.quantities
    found = differences(inputs.metrics.get("against_base", {}), quantities)
    table = metric_table(rows, {"run": {row.metric: row.verdict for row in found}}, quantities, selected="run")
    counts = flatten(inputs.metrics["counts"]) if "counts" in inputs.metrics else {}
    shares, label = inputs.metrics.get("reached", {}), inputs.quantities.label
    of_best = [
        texts("metrics.reached", metric=label(name), share=f"{share:.0%}") for name, share in sorted(shares.items())
    ]
    best = REAL_DECODED if rows.get(REAL_DECODED) else REAL
    beside = [rows.get(name, {}) for name in (*BESIDE, best)]
    return MetricPage(
        best=best,
        headlines=tuple(
            _headline(metric, beside, found, quantities, texts) for metric in headline_metrics(table.columns)
        ),
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
        legend=tuple((name, _meaning(name, quantities, texts)) for name in table.columns),
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
    label, order = inputs.quantities.label, inputs.quantities.order(counts["metric"])
    return [
        texts(f"metrics.rests_on.{row.set}", metric=label(str(row.metric)), count=row.images)
        for row in sorted(counts.itertuples(), key=lambda row: order.index(str(row.metric)))
    ]


def differences(against_base: Mapping[str, Mapping[str, float]], quantities: Quantities) -> tuple[Difference, ...]:
    """Lays out the differences between run and base.

    Args:
        against_base: ``mean``, ``low`` and ``high`` by metric, as in details.json.
        quantities: What the numbers mean.

    Returns:
        In the order of the other tables.
    """
    return tuple(
        Difference(
            metric=metric,
            arrow=quantities.arrow(metric),
            mean=f"{against_base[metric]['mean']:+z.4f}",
            low=f"{against_base[metric]['low']:+z.4f}",
            high=f"{against_base[metric]['high']:+z.4f}",
            verdict=quantities.verdict(metric, against_base[metric]["low"], against_base[metric]["high"]),
        )
        for metric in quantities.order(against_base)
    )


def _headline(
    metric: str, beside: Sequence[Mapping[str, Any]], found: Sequence[Difference], quantities: Quantities, texts: Texts
) -> Headline:
    of_metric = next((row for row in found if row.metric == metric), None)
    return Headline(
        metric=metric,
        name=texts(f"headline.{metric}") if metric in HEADLINES else "",
        arrow=quantities.arrow(metric),
        cells=tuple(to_cell(row.get(metric), "") for row in beside),
        difference=of_metric,
    )


def _plain(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _meaning(metric: str, quantities: Quantities, texts: Texts) -> str:
    """Says what a column means and which model measured it: several models share the place of DINO and CLIP."""
    found = quantities.known.get(metric)
    key = f"metric.{metric if found else metric.removeprefix(quantities.parent(metric)).strip('_.')}"
    parts = [texts(key)] if key in texts else []
    if found and found.model:
        parts.append(texts("metric.measured_by", title=found.title, name=found.key))
    return " ".join(parts)
