"""What made the numbers: parameters, judges, hashes; absolute paths of a machine never reach the page."""

import re
from dataclasses import dataclass

from src.core.nested import flatten
from src.core.places import place_name
from src.reporting.inputs import Inputs

# a YAML value that is an absolute path: `key: /a/b`, `- C:\a`, quoted or not
PATH_VALUE = re.compile(
    r"""^(?P<key>\s*(?:-\s+|[^\s'"#][^'"#]*?:\s+)+)(?P<quote>['"]?)(?P<path>(?:local-dir:)?(?:/|~|[A-Za-z]:[\\/])[^'"]*)(?P=quote)\s*$"""
)


@dataclass(frozen=True)
class Provenance:
    """The last section.

    Attributes:
        meta: Sections of metrics_meta.json, each a name and its lines of key and value.
        params: params.yaml, paths shortened.
        adapter: The selected checkpoint's stored configuration, or empty.
        hashes: File name and SHA-256.
    """

    meta: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    params: str
    adapter: str
    hashes: tuple[tuple[str, str], ...]


def describe_provenance(inputs: Inputs) -> Provenance:
    """Collects what made the numbers.

    Args:
        inputs: The tables.

    Returns:
        Text only, without absolute paths.
    """
    sections: dict[str, list[tuple[str, str]]] = {}
    for key, value in flatten(inputs.meta, lists=True).items():
        section, _, rest = key.partition(".")
        sections.setdefault(section if rest else "", []).append((rest or key, shorten_path(str(value))))
    return Provenance(
        meta=tuple((name, tuple(lines)) for name, lines in sorted(sections.items())),
        params=shorten_paths(inputs.params_text),
        adapter=shorten_paths(inputs.adapter_configs.get(inputs.run_variant, "")),
        hashes=tuple(sorted(inputs.hashes.items())),
    )


def shorten_path(value: str) -> str:
    """Returns an absolute path's last part behind an ellipsis, and anything else as it is."""
    return place_name(value, mark="…/")


def shorten_paths(yaml_text: str) -> str:
    """Shortens the absolute paths among the values of a YAML text and leaves the rest letter for letter."""
    return "\n".join(
        PATH_VALUE.sub(lambda found: found["key"] + found["quote"] + shorten_path(found["path"]) + found["quote"], line)
        for line in yaml_text.splitlines()
    )
