"""Whose work a run rests on: papers and libraries, with links."""

from dataclasses import dataclass
from pathlib import Path

import yaml

SOURCES = Path(__file__).with_name("templates") / "sources.yaml"


@dataclass(frozen=True)
class Source:
    """What was taken over, and where it is from."""

    what: str
    link: str


def load_sources() -> tuple[Source, ...]:
    """Returns the project's own sources."""
    return tuple(Source(**entry) for entry in yaml.safe_load(SOURCES.read_text(encoding="utf-8")))
