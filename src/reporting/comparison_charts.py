"""The two figures of a comparison: metrics against each other, and differences with their intervals."""

from collections.abc import Callable, Mapping, Sequence

import altair as alt

from src.metrics.intervals import Interval
from src.metrics.names import KID, PROMPT, SUBJECT
from src.metrics.quantities import Quantities
from src.reporting.charts import Row, Spec, inline_rows, to_spec

# a colour of the style sheet for each run
SERIES = "abcdefgh"
# of a label of four digits, as shares of the plane: on a phone it is about 260 px wide, everywhere 380 px high
LABEL_WIDTH, LABEL_HEIGHT = 0.14, 0.06


def pareto_front(rows: Sequence[Row]) -> list[Row]:
    """Returns the rows that no other exceeds in one primary metric without falling behind in the other.

    Args:
        rows: With both primary metrics.

    Returns:
        By rising clip_t.
    """
    front: list[Row] = []
    for row in sorted(rows, key=lambda row: (-row[PROMPT], -row[SUBJECT])):
        if not front or row[SUBJECT] > front[-1][SUBJECT]:
            front.append(row)
    return front[::-1]


def run_colours(names: Sequence[str]) -> dict[str, str]:
    """Gives each run one colour, the same in every chart, table and row of pictures.

    Args:
        names: The runs in order.

    Returns:
        By run, the name of a colour of the page's style sheet; with more runs than colours they repeat.
    """
    return {name: f"series{SERIES[number % len(SERIES)]}" for number, name in enumerate(names)}


def placed_labels(rows: Sequence[Row], base: Row | None) -> list[Row]:
    """Chooses the points that have room for a label on a phone: those of chosen checkpoints first, then by step.

    Args:
        rows: With both primary metrics.
        base: Also in the plane, or None.

    Returns:
        Points with labels that do not lie on one another.
    """
    shown = [*rows, *([base] if base else [])]
    spans = {m: max(row[m] for row in shown) - min(row[m] for row in shown) or 1.0 for m in (PROMPT, SUBJECT)}
    placed: list[Row] = []
    for row in sorted(rows, key=lambda row: (not row["selected"], row["step"])):
        near = (
            abs(row[PROMPT] - other[PROMPT]) < LABEL_WIDTH * spans[PROMPT]
            and abs(row[SUBJECT] - other[SUBJECT]) < LABEL_HEIGHT * spans[SUBJECT]
            for other in placed
        )
        if not any(near):
            placed.append(row)
    return placed


def metric_scatter(rows: Sequence[Row], names: Sequence[str], base: Row | None, label: Callable[[str], str]) -> Spec:
    """Draws prompt fidelity against likeness: a colour for each run, a point for each checkpoint, chosen ones large.

    Args:
        rows: Keys name, step, selected, both primary metrics; of chosen checkpoints that have an interval also
            <metric>_low, <metric>_high.
        names: The runs in order.
        base: The base model's means, with the key name; None where it has none.
        label: Names a metric with the model that measured.

    Returns:
        A specification.
    """
    colour = _colour(names)
    x = alt.X(f"{PROMPT}:Q", title=f"{label(PROMPT)} →", scale=alt.Scale(zero=False, padding=24))
    y = alt.Y(f"{SUBJECT}:Q", title=f"{label(SUBJECT)} ↑", scale=alt.Scale(zero=False, padding=18))
    scores = [alt.Tooltip(f"{metric}:Q", format=".4f", title=label(metric)) for metric in (PROMPT, SUBJECT)]
    tooltip = ["name:N", "step:Q", *scores]
    every = alt.Chart(inline_rows("checkpoints", list(rows))).encode(x=x, y=y, color=colour, tooltip=tooltip)
    chosen = [row for row in rows if row["selected"]]
    marks = alt.Chart(inline_rows("chosen", chosen)).encode(x=x, y=y, color=colour, tooltip=tooltip)
    known = [row for row in chosen if {f"{PROMPT}_low", f"{SUBJECT}_low"} <= row.keys()]
    sure = alt.Chart(inline_rows("intervals", known)).encode(x=x, y=y, color=colour, tooltip=tooltip)
    front = alt.Chart(inline_rows("front", pareto_front(chosen))).encode(x=x, y=y)
    origin = alt.Chart(inline_rows("base", [] if base is None else [base])).encode(x=x, y=y, tooltip=["name:N"])
    labels = alt.Chart(inline_rows("labels", placed_labels(rows, base))).encode(x=x, y=y)
    layers = [
        front.mark_line(color="var(--muted)", strokeDash=[5, 4]).encode(order=f"{PROMPT}:Q"),
        every.mark_line(strokeWidth=1.2, opacity=0.5).encode(order="step:Q"),
        every.mark_point(filled=True, size=50, opacity=0.6),
        sure.mark_rule().encode(x=f"{PROMPT}_low:Q", x2=f"{PROMPT}_high:Q"),
        sure.mark_rule().encode(y=f"{SUBJECT}_low:Q", y2=f"{SUBJECT}_high:Q"),
        marks.mark_point(filled=True, size=170, opacity=1),
        origin.mark_point(filled=True, size=90, opacity=1, shape="square", color="var(--base)"),
        origin.mark_text(align="left", dx=9, dy=-7, fontSize=11).encode(text="name:N"),
        labels.mark_text(align="left", dx=8, dy=-8, fontSize=11).encode(text="step:Q"),
    ]
    return to_spec(alt.layer(*layers), height=380)


def _colour(names: Sequence[str]) -> alt.Color:
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
    colour = _colour(runs) if runs else alt.value("var(--run)")
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
