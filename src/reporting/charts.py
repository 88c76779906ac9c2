"""The kinds of charts, as Vega-Lite specifications; colours are names of the page's CSS variables and follow its theme.

A section says what its charts show; the numbers behind them are written as CSV, so that they can be drawn elsewhere.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
from altair.utils.schemapi import debug_mode

from src.core.files import replaced_folder, write_csv
from src.metrics.intervals import Interval
from src.metrics.names import KID
from src.metrics.quantities import Quantities
from src.reporting.texts import Texts

Spec = dict[str, Any]
Row = dict[str, Any]

# the version of Vega-Lite that Altair writes for, major and minor
VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
MAX_POINTS = 1000
COLOURS = ("var(--run)", "var(--real)", "var(--copy)", "var(--base)")
# a colour of the style sheet for each run
SERIES = "abcdefgh"


def lines_chart(table: pd.DataFrame, columns: Mapping[str, str], axis: str, texts: Texts) -> Spec | None:
    """Draws columns over steps.

    Args:
        table: Has a column ``step``.
        columns: Text key under ``series.`` by column name; columns that the table lacks are left out.
        axis: Text key under ``axis.`` for the vertical axis.
        texts: The words.

    Returns:
        A specification, or None when the table has none of the columns.
    """
    labels = {name: texts(f"series.{key}") for name, key in columns.items() if name in table.columns}
    rows = long_rows(table, labels)
    if not rows:
        return None
    encode = line_encoding(texts, axis, list(labels.values()), list(COLOURS[: len(labels)]))
    return to_spec(alt.Chart(inline_rows("lines", rows)).mark_line(strokeWidth=1.5).encode(**encode), height=200)


def paired_bars(rows: list[Row], key: str, who: list[str], x: alt.X, row_px: int) -> Spec:
    """Draws run against base: bars of one group, prompt or the like together.

    Args:
        rows: Keys `key`, ``who`` and ``value``, in the order wanted.
        key: What stands together.
        who: What the run is called, and what base is.
        x: The axis of values.
        row_px: The height of those together, pixels.

    Returns:
        A specification.
    """
    places = list(dict.fromkeys(row[key] for row in rows))
    colour = alt.Color(
        "who:N",
        sort=who,
        scale=alt.Scale(domain=who, range=["var(--run)", "var(--base)"]),
        legend=alt.Legend(orient="top", title=None),
    )
    bars = (
        alt.Chart(inline_rows(f"{key}s", rows))
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            y=alt.Y(f"{key}:N", sort=places, title=None),
            yOffset=alt.YOffset("who:N", sort=who),
            x=x,
            color=colour,
            tooltip=[alt.Tooltip(f"{key}:N"), alt.Tooltip("who:N"), alt.Tooltip("value:Q", format=".4f")],
        )
    )
    return to_spec(bars, height=40 + row_px * len(places))


def line_encoding(texts: Texts, axis: str, labels: Sequence[str], colours: Sequence[str]) -> dict[str, Any]:
    """Returns the encoding of lines over steps, a colour for each label."""
    legend = alt.Legend(orient="top", title=None, symbolType="stroke")
    return {
        "x": alt.X("step:Q", title=texts("axis.step")),
        "y": alt.Y("value:Q", title=texts(f"axis.{axis}"), scale=alt.Scale(zero=False), axis=alt.Axis(format="~g")),
        "color": alt.Color(
            "series:N", legend=legend, sort=list(labels), scale=alt.Scale(domain=list(labels), range=list(colours))
        ),
    }


def thinning(rows: int) -> int:
    """Returns k such that every k-th of `rows` rows is drawn."""
    return max(math.ceil(rows / MAX_POINTS), 1)


def long_rows(table: pd.DataFrame, labels: Mapping[str, str]) -> list[Row]:
    """Turns columns over steps into rows of step, series and value, thinned; labels by column."""
    thinned = table.iloc[:: thinning(len(table))]
    return [
        {"step": int(step), "series": label, "value": float(f"{value:.6g}")}
        for column, label in labels.items()
        for step, value in zip(thinned["step"], thinned[column], strict=True)
        if math.isfinite(value)
    ]


def inline_rows(name: str, rows: list[Row]) -> alt.InlineData:
    """Turns rows into a chart's data under a name of our own: Altair would make one from a hash of the content."""
    with debug_mode(False):  # or Altair compares each row with the grammar, which takes longer than all the rest
        return alt.InlineData(values=rows, name=name)


def to_spec(chart: alt.Chart | alt.LayerChart, height: int) -> Spec:
    """Returns a chart as wide as its place on the page, without what the page sets itself; tests check its grammar."""
    spec = chart.properties(width="container", height=height).to_dict(validate=False)
    return {key: value for key, value in spec.items() if key not in ("$schema", "config")}


def paired_histogram(
    name: str, groups: Mapping[str, tuple[str, Sequence[float]]], score: str, count: str, at: Sequence[float]
) -> Spec:
    """Draws how often each score occurs in each group, and where a level lies.

    Args:
        name: Of the table of scores.
        groups: By name, a colour and the scores.
        score: The axis of scores.
        count: The axis of counts.
        at: The level, dashed, in the colour of real photos; nothing for none.

    Returns:
        A specification.
    """
    rows: list[Row] = [
        {"who": who, "value": round(float(value), 4)} for who, (_, values) in groups.items() for value in values
    ]
    colour = alt.Color(
        "who:N",
        sort=list(groups),
        scale=alt.Scale(domain=list(groups), range=[colour for colour, _ in groups.values()]),
        legend=alt.Legend(orient="top", title=None),
    )
    bars = (
        alt.Chart(inline_rows(name, rows))
        .mark_bar(opacity=0.6)
        .encode(
            x=alt.X("value:Q", bin=alt.Bin(maxbins=24), title=score),
            y=alt.Y("count():Q", stack=None, title=count),
            color=colour,
        )
    )
    level = alt.Chart(inline_rows("level", [{"at": round(float(value), 4)} for value in at]))
    rule = level.mark_rule(color="var(--real)", strokeDash=[5, 4], strokeWidth=2).encode(x="at:Q")
    return to_spec(alt.layer(bars, rule), height=200)


def run_colours(names: Sequence[str]) -> dict[str, str]:
    """Gives each run one colour, the same in every chart, table and row of pictures.

    Args:
        names: The runs in order.

    Returns:
        By run, the name of a colour of the page's style sheet; with more runs than colours they repeat.
    """
    return {name: f"series{SERIES[number % len(SERIES)]}" for number, name in enumerate(names)}


def run_colour(names: Sequence[str]) -> alt.Color:
    """Returns the encoding of a run's name as its colour."""
    colours = [f"var(--{name})" for name in run_colours(names).values()]
    scale = alt.Scale(domain=list(names), range=colours)
    return alt.Color(
        "name:N", sort=list(names), scale=scale, legend=alt.Legend(orient="top", title=None, symbolOpacity=1)
    )


def forest(
    comparisons: Mapping[str, Mapping[str, Interval]],
    margins: Mapping[str, float],
    title: str,
    quantities: Quantities,
    runs: Sequence[str] = (),
) -> Spec:
    """Draws differences with their intervals, the margins of the primary metrics shaded.

    Args:
        comparisons: By run, then by metric.
        margins: Of the primary metrics.
        title: Of the axis.
        quantities: What the numbers mean.
        runs: All runs of the page in order, for one colour each; empty where there is one alone.

    Returns:
        A specification.
    """
    rows: list[Row] = [
        {
            "name": name,
            "metric": quantities.label(metric),
            "difference": found.mean,
            "low": found.low,
            "high": found.high,
        }
        for name, metrics in comparisons.items()
        for metric, found in metrics.items()
        # no cosine: it has another scale, and the others would be a point
        if metric != KID
    ]
    shown, names = quantities.order(metric for metrics in comparisons.values() for metric in metrics), list(comparisons)
    order = [quantities.label(metric) for metric in shown if metric != KID]
    bands = [{"metric": quantities.label(m), "low": -margins[m], "high": margins[m]} for m in shown if m in margins]
    y = alt.Y("metric:N", sort=order, title=None)
    colour = run_colour(runs) if runs else alt.value("var(--run)")
    band = alt.Chart(inline_rows("margins", bands)).encode(x="low:Q", x2="high:Q", y=y)
    zero = alt.Chart(inline_rows("zero", [{"at": 0}])).encode(x="at:Q")
    numbers = [alt.Tooltip(f"{key}:Q", format="+.4f") for key in ("difference", "low", "high")]
    base = alt.Chart(inline_rows("differences", rows)).encode(
        y=y,
        yOffset=alt.YOffset("name:N", sort=names),
        color=colour,
        tooltip=["name:N", "metric:N", *numbers],
    )
    layers = [
        band.mark_bar(color="var(--pale)", opacity=0.5),
        zero.mark_rule(color="var(--muted)", strokeDash=[3, 3]),
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=title), x2="high:Q"),
        base.mark_point(filled=True, size=70, opacity=1).encode(x="difference:Q"),
    ]
    return to_spec(alt.layer(*layers), height=60 + 30 * len(order) * max(1, len(names)))


def write_figure_tables(folder: Path, specs: Mapping[str, Spec]) -> None:
    """Writes a file for each set of data in each chart, ``<chart>-<data>.csv``.

    Args:
        folder: Is replaced.
        specs: The charts by name.
    """
    with replaced_folder(folder) as new:
        for chart, spec in sorted(specs.items()):
            for name, rows in dict(_tables(spec)).items():
                write_csv(new / f"{chart}-{name}.csv", pd.DataFrame(rows))


def _tables(part: Any) -> Iterator[tuple[str, list[Row]]]:
    if isinstance(part, list):
        for item in part:
            yield from _tables(item)
    elif isinstance(part, Mapping):
        data = part.get("data")
        if isinstance(data, Mapping) and "values" in data:
            yield str(data["name"]), list(data["values"])
        for key, item in part.items():
            if key != "data":
                yield from _tables(item)
