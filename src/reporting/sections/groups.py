"""Where the run gains and where it loses: charts by prompt group and prompt by prompt."""

import altair as alt
import pandas as pd

from src.core.sets import TEST
from src.core.settings import Settings
from src.reporting.charts import Row, Spec, inline_rows, paired_bars, to_spec
from src.reporting.inputs import Inputs
from src.reporting.metric_tables import headline_metrics
from src.reporting.scoring import group_means
from src.reporting.templating import Section
from src.reporting.texts import Texts

# the height of a group's two bars
GROUP_PX = 38


def section(inputs: Inputs, _params: Settings, texts: Texts) -> Section:
    """Builds the section."""
    charts = group_charts(inputs, texts)
    return Section(
        {"groups": tuple(charts), "primaries": headline_metrics(list(charts))[:2]},
        {"heatmap": prompt_heatmap(inputs, texts), **{f"group-{metric}": chart for metric, chart in charts.items()}},
    )


def group_charts(inputs: Inputs, texts: Texts) -> dict[str, Spec]:
    """Draws run against base per prompt group, one chart per metric; a group's name tells how many prompts it has.

    Args:
        inputs: The tables.
        texts: The words.

    Returns:
        Specifications by metric.
    """
    series = {inputs.run_variant: texts("series.run"), "base": texts("series.base")}
    tables = [group_means(inputs.scores, variant).assign(who=who) for variant, who in series.items()]
    means = pd.concat(tables)
    charts: dict[str, Spec] = {}
    label = inputs.quantities.label
    for metric in inputs.quantities.order(means["metric"]):
        own = means[means["metric"] == metric]
        counts = own.groupby("group")["prompts"].agg(lambda counts: "/".join(map(str, dict.fromkeys(counts))))
        rows = [
            {"group": f"{group} (n={counts[group]})", "who": who, "value": value}
            for group, who, value in own[["group", "who", "value"]].itertuples(index=False, name=None)
        ]
        x = alt.X("value:Q", title=f"{label(metric)} {inputs.quantities.arrow(metric)}".strip())
        charts[metric] = paired_bars(rows, "group", list(series.values()), x, GROUP_PX)
    return charts


def prompt_heatmap(inputs: Inputs, texts: Texts) -> Spec | None:
    """Draws what the run gained over base, or lost, for each test prompt and each metric that has a better side.

    Args:
        inputs: The tables.
        texts: The words.

    Returns:
        A specification, the prompts by group; None where run and base share no score of such a metric.
    """
    scores = inputs.scores
    quantities = inputs.quantities
    sides = scores["metric"].map(quantities.direction)
    rows = scores[(scores["set"] == TEST) & (scores["references"] != "train") & (sides != 0)].dropna(subset="value")
    means = rows.pivot_table(index=["group", "prompt_id", "metric"], columns="variant", values="value")
    if not {inputs.run_variant, "base"} <= set(means.columns):
        return None
    changes = (means[inputs.run_variant] - means["base"]).dropna().round(4).rename("change").reset_index()
    label = inputs.quantities.label
    # metrics have scales of their own, so a cell is coloured by its share of its metric's largest change
    largest = changes.groupby("metric")["change"].agg(lambda own: max(own.abs().max(), 1e-9))
    cells: list[Row] = [
        {
            "group": group,
            "prompt": prompt,
            "metric": label(metric),
            "gain": quantities.direction(metric) * change,
            "share": round(quantities.direction(metric) * change / largest[metric], 4) + 0.0,
        }
        for group, prompt, metric, change in changes.itertuples(index=False, name=None)
    ]
    order = list(dict.fromkeys(cell["prompt"] for cell in cells))
    columns = [label(metric) for metric in inputs.quantities.order(changes["metric"])]
    colour = alt.Color(
        "share:Q",
        title=texts("axis.gain"),
        legend=alt.Legend(orient="top", direction="horizontal", titleLimit=300, gradientLength=160),
        scale=alt.Scale(domain=[-1, 0, 1], range=["var(--copy)", "var(--paper)", "var(--run)"], interpolate="rgb"),
    )
    chart = (
        alt.Chart(inline_rows("cells", cells))
        .mark_rect(cursor="pointer")
        .encode(
            x=alt.X("metric:N", sort=columns, title=None, axis=alt.Axis(orient="top")),
            y=alt.Y("prompt:N", sort=order, title=None),
            color=colour,
            tooltip=["group:N", "prompt:N", "metric:N", alt.Tooltip("gain:Q", format="+.4f")],
        )
    )
    return to_spec(chart, height=18 * len(order))
