"""What made the numbers: parameters, metric models, hashes; absolute paths of a machine never reach the page."""

from dataclasses import dataclass

from src.core.nested import flatten
from src.core.settings import Settings
from src.reporting.inputs import Inputs
from src.reporting.templating import Section, shorten_path, shorten_paths
from src.reporting.texts import Texts, load_sources


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


def section(inputs: Inputs, _params: Settings, texts: Texts) -> Section:
    """Builds the section."""
    return Section({"provenance": describe_provenance(inputs), "sources": load_sources(texts.language)})


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
