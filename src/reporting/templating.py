"""Fills in the templates; a page brings style, scripts and the chart library along, so that it loads nothing."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from src.reporting.charts import VEGA_LITE
from src.reporting.library import inline_library

TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: str, **values: Any) -> str:
    """Returns a self-contained HTML page.

    Args:
        template: Its name.
        **values: What it shows.

    Returns:
        HTML; values are escaped.
    """
    style, script = (Markup((TEMPLATES / name).read_text(encoding="utf-8")) for name in ("style.css", "charts.js"))
    library = Markup(inline_library(VEGA_LITE))
    return (
        _environment(autoescape=True)
        .get_template(template)
        .render(style=style, script=script, library=library, **values)
    )


def render_text(template: str, **values: Any) -> str:
    """Returns a text, values as they are.

    Args:
        template: Its name.
        **values: What it shows.

    Returns:
        The text.
    """
    return _environment(autoescape=False).get_template(template).render(**values)


def _environment(autoescape: bool) -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
