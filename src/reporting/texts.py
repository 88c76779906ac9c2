"""The words of the page, from one table of keys and languages, and whose work a run rests on."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from src.core.errors import ConfigError

TABLE = Path(__file__).parent / "templates" / "texts.yaml"
SOURCES = Path(__file__).parent / "templates" / "sources.yaml"
# a reader clicks on it, so no javascript: or data:, and nothing that ends an attribute or a Markdown link
WEB_ADDRESS = re.compile(r"""https?://[^\s<>"'`\\]+""", re.IGNORECASE)


@dataclass(frozen=True)
class Texts:
    """The words in one language.

    Attributes:
        language: For example ``en``.
        words: The texts by key.
    """

    language: str
    words: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """Returns the text of `key` with its {names} filled in."""
        return self.words[key].format(**values)

    def __contains__(self, key: str) -> bool:
        """Tells whether there is a text of that key."""
        return key in self.words


def load_texts(language: str) -> Texts:
    """Reads the table.

    Args:
        language: The wanted language.

    Returns:
        The texts in that language.

    Raises:
        ConfigError: The table lacks the language.
    """
    table = _read_table(TABLE)
    languages = sorted(set.intersection(*(set(entry) for entry in table.values())))
    if language not in languages:
        raise ConfigError(f"report.language={language!r}: expected one of {', '.join(languages)}")
    return Texts(language, {key: entry[language] for key, entry in table.items()})


@cache
def _read_table(path: Path) -> Mapping[str, Mapping[str, str]]:
    content: dict[str, dict[str, str]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


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
