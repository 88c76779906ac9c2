"""The metrics: what each came to, and how far the run differs from base."""

from src.core.settings import Settings
from src.metrics.intervals import Interval
from src.reporting.charts import forest
from src.reporting.inputs import Inputs
from src.reporting.metric_page import metric_page
from src.reporting.templating import Section
from src.reporting.texts import Texts


def section(inputs: Inputs, params: Settings, texts: Texts) -> Section:
    """Builds the section."""
    gained = {metric: Interval(**values) for metric, values in inputs.metrics.get("against_base", {}).items()}
    title = texts("axis.difference")
    chart = forest({texts("series.run"): gained}, params.evaluate.margins, title, inputs.quantities) if gained else None
    return Section({"metrics": metric_page(inputs, texts)}, {"forest": chart})
