"""The groups of configs/ and what may be chosen of each: the plain names of its files."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from src.core.config_errors import describe_composition
from src.core.digest import CONFIGS, PRETRAINING, options
from src.core.errors import ConfigError


def groups() -> set[str]:
    """Lists the groups of the pipeline's configuration; training from noise has none."""
    return {folder.name for folder in CONFIGS.iterdir() if folder.is_dir() and folder.name not in PRETRAINING}


def parse_overrides(words: Sequence[str]) -> list[Override]:
    """Reads a command line by Hydra's grammar.

    Args:
        words: For example ``["lr=1e-4"]``.

    Returns:
        An override for each.

    Raises:
        ConfigError: A word is none.
    """
    try:
        return list(OverridesParser.create().parse_overrides(list(words)))
    except HydraException as error:
        raise ConfigError(describe_composition(error)) from error
    except ValueError as error:  # of Python's int(), which Hydra calls
        raise ConfigError(f"override: a number has too many digits: {error}") from error


def check_overrides(overrides: Iterable[Override]) -> None:
    """Checks every choice of a group on the command line.

    Args:
        overrides: Parsed; those of other keys pass.

    Raises:
        ConfigError: A group is left out, or is set to what is no file of it.
    """
    for override in overrides:
        if override.key_or_group in groups():
            if override.is_delete():
                raise ConfigError(f"{override.input_line}: expected {expected(override.key_or_group)}")
            check_choice(override.key_or_group, override.value())


def check_choice(group: str, value: Any, where: str = "") -> None:
    """Checks what a group is set to: a name, or several of them.

    Args:
        group: For example ``model``.
        value: A plain value.
        where: What the message begins with.

    Raises:
        ConfigError: It is no name of a file in the group's folder.
    """
    names = value if isinstance(value, list) and value else [value]
    if not all(isinstance(name, str) and name in options(group) for name in names):
        shown = "null" if value is None else value
        raise ConfigError(f"{where}{group}={shown}: no such choice, expected {expected(group)}")


def expected(group: str) -> str:
    """Says what a group may be set to."""
    several = ", or several: [a,b]" if group == "tracker" else ""
    return f"one of {', '.join(options(group))}{several}"


def chosen_in(file: Mapping[str, Any], where: str) -> dict[str, str]:
    """Reads the groups that a person's own file chooses by name.

    Args:
        file: The file's content, plain values; a group that it spells out as a mapping is no choice.
        where: The file, for messages.

    Returns:
        By group, the choice as an override says it.

    Raises:
        ConfigError: A choice is no name of a file in the group's folder.
    """
    chosen = {}
    for group, value in file.items():
        if group in groups() and not isinstance(value, dict):
            check_choice(group, value, f"{where}: ")
            chosen[group] = f"[{','.join(value)}]" if isinstance(value, list) else str(value)
    return chosen
