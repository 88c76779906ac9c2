"""Where the run gains and where it loses, by group of prompts and prompt by prompt."""

from src.core.settings import Settings
from src.reporting.inputs import Inputs
from src.reporting.metric_tables import headline_metrics
from src.reporting.prompt_charts import group_charts, prompt_heatmap
from src.reporting.templating import Section
from src.reporting.texts import Texts


def section(inputs: Inputs, _params: Settings, texts: Texts) -> Section:
    """Builds the section."""
    charts = group_charts(inputs, texts)
    return Section(
        {"groups": tuple(charts), "primaries": headline_metrics(list(charts))[:2]},
        {"heatmap": prompt_heatmap(inputs, texts), **{f"group-{metric}": chart for metric, chart in charts.items()}},
    )
