"""Histograms of two groups of images over one score."""

from collections.abc import Mapping, Sequence

import altair as alt

from src.reporting.charts import Row, Spec, inline_rows, to_spec


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
