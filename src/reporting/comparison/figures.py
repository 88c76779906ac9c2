"""The two figures of a comparison: metrics against each other, and differences with their intervals."""

from collections.abc import Callable, Mapping, Sequence

import altair as alt

from src.comparison.runs import EvaluatedRun
from src.comparison.study import front
from src.comparison.verdict import Report
from src.core import layout
from src.core.sets import TEST
from src.metrics.intervals import mean_interval
from src.metrics.names import BASE, PROMPT, SUBJECT
from src.metrics.quantities import Quantities
from src.metrics.summary import mean_scores
from src.reporting.charts import Row, Spec, forest, inline_rows, run_colour, to_spec
from src.reporting.texts import Texts

# what the scatter shows
PLANE = {SUBJECT, PROMPT}
# of a label of four digits, as shares of the plane: on a phone it is about 260 px wide, everywhere 380 px high
LABEL_WIDTH, LABEL_HEIGHT = 0.14, 0.06


def pareto_front(rows: Sequence[Row]) -> list[Row]:
    """Returns the rows that no other exceeds in one primary metric without falling behind in the other.

    Args:
        rows: With both primary metrics.

    Returns:
        By rising clip_t.
    """
    kept = front({place: (row[SUBJECT], row[PROMPT]) for place, row in enumerate(rows)})
    return sorted((rows[place] for place in kept), key=lambda row: row[PROMPT])


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
    colour = run_colour(names)
    x = alt.X(f"{PROMPT}:Q", title=f"{label(PROMPT)} →", scale=alt.Scale(zero=False, padding=24))
    y = alt.Y(f"{SUBJECT}:Q", title=f"{label(SUBJECT)} ↑", scale=alt.Scale(zero=False, padding=18))
    scores = [alt.Tooltip(f"{metric}:Q", format=".4f", title=label(metric)) for metric in (PROMPT, SUBJECT)]
    tooltip = ["name:N", "step:Q", *scores]
    every = alt.Chart(inline_rows("checkpoints", list(rows))).encode(x=x, y=y, color=colour, tooltip=tooltip)
    chosen = [row for row in rows if row["selected"]]
    marks = alt.Chart(inline_rows("chosen", chosen)).encode(x=x, y=y, color=colour, tooltip=tooltip)
    known = [row for row in chosen if {f"{PROMPT}_low", f"{SUBJECT}_low"} <= row.keys()]
    sure = alt.Chart(inline_rows("intervals", known)).encode(x=x, y=y, color=colour, tooltip=tooltip)
    best = alt.Chart(inline_rows("front", pareto_front(chosen))).encode(x=x, y=y)
    origin = alt.Chart(inline_rows("base", [] if base is None else [base])).encode(x=x, y=y, tooltip=["name:N"])
    labels = alt.Chart(inline_rows("labels", placed_labels(rows, base))).encode(x=x, y=y)
    layers = [
        best.mark_line(color="var(--muted)", strokeDash=[5, 4]).encode(order=f"{PROMPT}:Q"),
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


def checkpoint_rows(run: EvaluatedRun) -> list[Row]:
    """Returns a run's checkpoints in the plane of the primary metrics; the chosen one has intervals.

    Args:
        run: What was evaluated.

    Returns:
        By step; nothing where a primary metric is missing.
    """
    rows = []
    for variant in sorted(set(run.scores["variant"])):
        step = layout.checkpoint_step(variant)
        if step is None and variant == run.meta["selected"]:
            step = 0  # a name that tells none
        means = {} if step is None else mean_scores(run.scores, variant, TEST)
        if not means.keys() >= PLANE:
            continue
        chosen = variant == run.meta["selected"]
        row: Row = {"name": run.name, "step": step, "selected": chosen, **{m: means[m] for m in sorted(PLANE)}}
        for metric in sorted(PLANE) if chosen else ():
            found = mean_interval(run.scores, variant, metric)
            if found is None:
                continue
            row |= {f"{metric}_low": found.low, f"{metric}_high": found.high}
        rows.append(row)
    return sorted(rows, key=lambda row: row["step"])


def comparison_figures(
    runs: Sequence[EvaluatedRun],
    reports: Mapping[str, Report],
    base: Mapping[str, float],
    margins: Mapping[str, float],
    texts: Texts,
    quantities: Quantities,
) -> dict[str, Spec]:
    """Draws the checkpoints in the plane of the primary metrics, and the differences to the first run.

    Args:
        runs: In order; those that may not be compared are left out.
        reports: Of those after the first, by name.
        base: The base model's means.
        margins: Of the primary metrics.
        texts: The words.
        quantities: What the numbers mean.

    Returns:
        Charts by name.
    """
    names = [run.name for run in runs]
    points = [row for run in runs for row in checkpoint_rows(run)]
    origin: Row | None = {"name": BASE, **{m: base[m] for m in sorted(PLANE)}} if base.keys() >= PLANE else None
    specs = {"scatter": metric_scatter(points, names, origin, quantities.label)} if points else {}
    intervals = {
        name: {metric: found.interval for metric, found in report.metrics.items()} for name, report in reports.items()
    }
    if intervals:
        specs["forest"] = forest(intervals, margins, texts("axis.difference"), quantities, names)
    return specs
