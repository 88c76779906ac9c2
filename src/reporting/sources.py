"""Whose work a run rests on: papers and libraries, with links."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from src.core.errors import ConfigError

SOURCES = Path(__file__).with_name("templates") / "sources.yaml"
# a reader clicks on it, so no javascript: or data:, and nothing that ends an attribute or a Markdown link
WEB_ADDRESS = re.compile(r"""https?://[^\s<>"'`\\]+""", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """What was taken over, and where it is from.

    Attributes:
        what: The thing.
        link: Its web address.

    Raises:
        ConfigError: The link is no http or https address.
    """

    what: str
    link: str

    def __post_init__(self) -> None:
        """Refuses a link that would do something other than open a web page."""
        if not WEB_ADDRESS.fullmatch(self.link):
            raise ConfigError(f"link {self.link!r}: expected an address that begins with http:// or https://")


def load_sources(language: str) -> tuple[Source, ...]:
    """Returns the project's own sources, said in a language that `load_texts` knows."""
    entries = yaml.safe_load(SOURCES.read_text(encoding="utf-8"))
    return tuple(Source(entry[language], entry["link"]) for entry in entries)
