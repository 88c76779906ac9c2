"""The charts, as Vega-Lite specifications; colours are names of the page's CSS variables and follow its theme."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from src.core import layout
from src.metrics.names import SUBJECT
from src.reporting.inputs import Inputs
from src.reporting.texts import Texts

Spec = dict[str, Any]
Row = dict[str, Any]

# the version of Vega-Lite that Altair writes for, major and minor
VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
MAX_POINTS = 1000
# the moving average looks back over about this share of all steps
SMOOTHING_SHARE = 0.05
COLOURS = ("var(--run)", "var(--real)", "var(--copy)", "var(--base)")


def loss_chart(inputs: Inputs, texts: Texts) -> Spec:
    """Draws the training loss, raw and smoothed, the held-out loss and the selected step.

    Args:
        inputs: The tables.
        texts: The words.

    Returns:
        A specification.
    """
    loss = inputs.loss.dropna(subset=["loss"])
    span = max(len(loss) * SMOOTHING_SHARE, 1.0)
    smooth = loss["loss"].ewm(span=span).mean()
    table = pd.DataFrame({"step": loss["step"], "loss": loss["loss"], "smooth": smooth})
    labels = {name: texts(f"series.{name}") for name in ("loss", "smooth", "val_loss")}
    raw = _long(table, {"loss": labels["loss"]})
    bold = _long(table, {"smooth": labels["smooth"]})
    held_out = [] if inputs.val_loss is None else _long(inputs.val_loss, {"val_loss": labels["val_loss"]})
    shown = [labels["loss"], labels["smooth"], *([labels["val_loss"]] if held_out else [])]
    colours = ["var(--pale)", "var(--run)", "var(--copy)"][: len(shown)]
    encode = _line_encoding(texts, "loss", shown, colours)
    layers = [
        alt.Chart(inline_rows("raw", raw)).mark_line(strokeWidth=1).encode(**encode),
        alt.Chart(inline_rows("smooth", bold)).mark_line(strokeWidth=2.5).encode(**encode),
    ]
    if held_out:
        mark = alt.Chart(inline_rows("held_out", held_out)).mark_line(strokeWidth=2, point={"size": 28, "filled": True})
        layers.append(mark.encode(**encode))
    selected = alt.Chart(inline_rows("selected", [{"step": inputs.selected_step}]))
    layers.append(selected.mark_rule(color="var(--muted)", strokeDash=[3, 3]).encode(x="step:Q"))
    return to_spec(alt.layer(*layers), height=260)


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
    rows = _long(table, labels)
    if not rows:
        return None
    encode = _line_encoding(texts, axis, list(labels.values()), list(COLOURS[: len(labels)]))
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


def _line_encoding(texts: Texts, axis: str, labels: Sequence[str], colours: Sequence[str]) -> dict[str, Any]:
    legend = alt.Legend(orient="top", title=None, symbolType="stroke")
    return {
        "x": alt.X("step:Q", title=texts("axis.step")),
        "y": alt.Y("value:Q", title=texts(f"axis.{axis}"), scale=alt.Scale(zero=False), axis=alt.Axis(format="~g")),
        "color": alt.Color(
            "series:N", legend=legend, sort=list(labels), scale=alt.Scale(domain=list(labels), range=list(colours))
        ),
    }


def memorising_chart(inputs: Inputs, texts: Texts) -> Spec | None:
    """Draws likeness to training and to held-out photos over the checkpoints; the gap between them is memorising.

    Args:
        inputs: The tables.
        texts: The words.

    Returns:
        A specification; None with a single checkpoint or without likeness to the subject.
    """
    rows = [
        {"step": layout.checkpoint_step(name), **means} for name, means in sorted(inputs.metrics["checkpoints"].items())
    ]
    if len(rows) < 2 or SUBJECT not in rows[0]:
        return None
    return lines_chart(pd.DataFrame(rows), {SUBJECT: "val", f"{SUBJECT}_train": "train"}, "subject", texts)


def thinning(rows: int) -> int:
    """Returns k such that every k-th of `rows` rows is drawn."""
    return max(math.ceil(rows / MAX_POINTS), 1)


def _long(table: pd.DataFrame, labels: Mapping[str, str]) -> list[Row]:
    thinned = table.iloc[:: thinning(len(table))]
    return [
        {"step": int(step), "series": label, "value": float(f"{value:.6g}")}
        for column, label in labels.items()
        for step, value in zip(thinned["step"], thinned[column], strict=True)
        if math.isfinite(value)
    ]


def inline_rows(name: str, rows: list[Row]) -> alt.InlineData:
    """Turns rows into a chart's data under a name of our own: Altair would make one from a hash of the content."""
    return alt.InlineData(values=rows, name=name)


def to_spec(chart: alt.Chart | alt.LayerChart, height: int) -> Spec:
    """Returns a chart as wide as its place on the page, without what the page sets itself."""
    spec = chart.properties(width="container", height=height).to_dict()
    return {key: value for key, value in spec.items() if key not in ("$schema", "config")}
