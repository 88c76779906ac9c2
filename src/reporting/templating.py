"""Fills in the templates; a page brings style, scripts and the chart library along, so that it loads nothing."""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from src.core.places import place_name
from src.reporting.charts import VEGA_LITE, Spec
from src.reporting.markdown_text import escape_markdown

TEMPLATES = Path(__file__).parent / "templates"
# Content Security Policy Level 3: nothing is loaded, and no script or style runs but those whose bytes are named
POLICY = (
    "default-src 'none'; img-src data:; style-src {styles}; script-src {scripts}; base-uri 'none'; form-action 'none'"
)
# what the bundle of the chart library leaves behind for the page's own scripts
EXPORT = "window.vegaEmbed=vegaEmbed;"
# a YAML value that is an absolute path: `key: /a/b`, `- C:\a`, quoted or not
PATH_VALUE = re.compile(
    r"""^(?P<key>\s*(?:-\s+|[^\s'"#][^'"#]*?:\s+)+)(?P<quote>['"]?)(?P<path>(?:local-dir:)?(?:/|~|[A-Za-z]:[\\/])[^'"]*)(?P=quote)\s*$"""
)


@dataclass(frozen=True)
class Section:
    """What one section of a page is made of.

    Attributes:
        values: What its template shows, by the names that it knows.
        figures: Its charts by name; None where there is nothing to show.
    """

    values: Mapping[str, Any]
    figures: Mapping[str, Spec | None] = field(default_factory=dict)


def render_page(template: str, **values: Any) -> str:
    """Returns a self-contained HTML page.

    Args:
        template: Its name; extends page.html.j2, so `title`, `texts` and `specs` are among the values.
        **values: What it shows.

    Returns:
        HTML; values are escaped.
    """
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("style.css", "charts.js"))
    library = inline_library(VEGA_LITE)
    policy = POLICY.format(styles=_source(style), scripts=f"{_source(library)} {_source(script)}")
    inline = {"style": Markup(style), "script": Markup(script), "library": Markup(library)}
    environment = _environment(autoescape=True)
    return environment.get_template(template).render(policy=Markup(policy), **inline, **values)


def render_markdown(template: str, **values: Any) -> str:
    """Returns a Markdown text.

    Args:
        template: Its name.
        **values: What it shows.

    Returns:
        Markdown; values are escaped, but for those that are `Markdown`.
    """
    return _environment(autoescape=False, finalize=escape_markdown).get_template(template).render(**values)


def _source(inline: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"


@cache  # a template is compiled once
def _environment(autoescape: bool, finalize: Callable[[Any], Any] | None = None) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=autoescape,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = with_code
    return environment


def with_code(text: str) -> Markup:
    """Escapes a sentence for a page and sets what stands in backticks, as Markdown has it, as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


@cache
def inline_library(vega_lite: str) -> str:
    """Returns Vega, Vega-Lite and Vega-Embed as one classic script that defines `vegaEmbed` and nothing else.

    Args:
        vega_lite: The version of Vega-Lite, for example ``6.4``; that of Vega follows from it.

    Returns:
        JavaScript that may stand inside a script element.
    """
    return "(function(){" + vl_convert.javascript_bundle(EXPORT, vl_version=vega_lite) + "})();"


def shorten_path(value: str) -> str:
    """Returns an absolute path's last part behind an ellipsis, and anything else as it is."""
    return place_name(value, mark="…/")


def shorten_paths(yaml_text: str) -> str:
    """Shortens the absolute paths among the values of a YAML text and leaves the rest letter for letter."""
    return "\n".join(
        PATH_VALUE.sub(lambda found: found["key"] + found["quote"] + shorten_path(found["path"]) + found["quote"], line)
        for line in yaml_text.splitlines()
    )
