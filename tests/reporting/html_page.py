"""Reads a report as a browser would."""

import base64
import json
import re
from html.parser import HTMLParser

import altair as alt

ADDRESSES = ("src", "href", "srcset", "data", "action", "poster")


class Page(HTMLParser):
    """Collects what the tests look at: addresses, tags, and the text and exact values of tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.links: list[str] = []
        self.tables: list[list[list[str]]] = []
        self._cell: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        found = [value for name, value in attrs if name in ADDRESSES]
        if tag == "a":  # followed by a reader, not loaded
            self.links += found
        else:
            self.addresses += found
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self._cell = []
        elif tag == "data":
            self._cell = None
            self.tables[-1][-1].append(dict(attrs)["value"])

    def handle_data(self, data):
        if self._cell is not None:
            self._cell.append(data)

    def handle_endtag(self, tag):
        if tag in ("td", "th") and self._cell is not None:
            self.tables[-1][-1].append("".join(self._cell).strip())
            self._cell = None


def decoded(page: Page) -> list[bytes]:
    sources = [address for address in page.addresses if address.startswith("data:")]
    return [base64.b64decode(source.removeprefix("data:image/webp;base64,"), validate=True) for source in sources]


def checked_charts(text: str) -> dict[str, alt.TopLevelMixin]:
    """Reads the charts of a page by the grammar of Vega-Lite, which refuses what is none of it; by their names."""
    specs = json.loads(re.search(r'id="chart-specs" type="application/json">(.*?)</script>', text, re.DOTALL)[1])
    return {name: alt.Chart.from_dict(spec) for name, spec in specs.items()}
