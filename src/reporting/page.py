"""Puts the sections together into one self-contained page that needs no network."""

from pathlib import Path
from typing import Any

from src.core import layout
from src.core.files import write_text
from src.core.settings import Settings
from src.reporting.charts import Spec, write_figure_tables
from src.reporting.inputs import Inputs, read_inputs
from src.reporting.markdown import write_markdown
from src.reporting.sections import (
    checkpoints,
    copying,
    data,
    groups,
    metrics,
    persons,
    provenance,
    samples,
    summary,
    training,
)
from src.reporting.templating import render_page
from src.reporting.texts import Texts, load_texts

# in the page's order; the template of each has its name
SECTIONS = (summary, samples, metrics, checkpoints, training, groups, copying, persons, data, provenance)


def build_report(root: Path, out: Path, params: Settings) -> None:
    """Writes the report: the page, the same as Markdown beside it, and figures/ with the numbers of every chart.

    Args:
        root: The folder that holds data/, metrics/, models/ and params.yaml.
        out: The HTML file to write, in a folder beside data/.
        params: What was run.

    Raises:
        ConfigError: There are no texts in that language.
        EmptyDatasetError: Something to report on is missing; the message names it and the stage that makes it.
    """
    texts = load_texts(params.report.language)
    inputs = read_inputs(root, params.train.steps > 0)
    values, specs = build_sections(inputs, params, texts)
    page = render_page(
        "report.html.j2",
        title=params.report.title,
        texts=texts,
        params=params,
        inputs=inputs,
        label=inputs.quantities.label,
        specs=specs,
        **values,
    )
    write_figure_tables(out.with_name(layout.FIGURES.name), specs)
    write_markdown(out.with_suffix(layout.REPORT_TEXT.suffix), inputs, params, (values, specs), texts)
    write_text(out, page)


def build_sections(inputs: Inputs, params: Settings, texts: Texts) -> tuple[dict[str, Any], dict[str, Spec]]:
    """Builds all sections; charts that have nothing to show are left out.

    Args:
        inputs: The tables.
        params: What was run.
        texts: The words.

    Returns:
        What the templates show, and the charts, both by name.
    """
    built = [module.section(inputs, params, texts) for module in SECTIONS]
    values = {name: value for section in built for name, value in section.values.items()}
    return values, {name: spec for one in built for name, spec in one.figures.items() if spec is not None}
