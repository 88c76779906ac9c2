"""A person's own choices, kept in configs/mine.yaml and laid over the rest of configs/."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from src.core.choices import groups, parse_overrides
from src.core.config import load_config, quote_overrides, to_dict
from src.core.config_errors import load_yaml
from src.core.digest import CONFIGS
from src.core.errors import ConfigError
from src.core.files import write_text
from src.core.nested import flatten

MINE = CONFIGS / "mine.yaml"
HEADER = """\
# @package _global_
# Your own choices, laid over the rest: `python -m src.stages.config set model=sd15 subject=toy` writes them here.
"""
OVERRIDE = "override /"
# an experiment's place and its file are no choice that lasts
PASSING = ("exp", "configs_digest")


def read_choices(path: Path = MINE) -> dict[str, Any]:
    """Reads the choices.

    Args:
        path: configs/mine.yaml.

    Returns:
        Each group's choice and each key's value, dotted: ``{"model": "sd15", "subject.token": "sksMoose"}``.

    Raises:
        ConfigError: The file is not what `set_choices` writes.
    """
    content = to_dict(load_yaml(path))
    choices: dict[str, Any] = {}
    for entry in content.pop("defaults", []):
        [(key, choice)] = entry.items() if isinstance(entry, dict) and len(entry) == 1 else [("", None)]
        if not str(key).startswith(OVERRIDE):
            raise ConfigError(f"{path}: expected `- override /group: choice` in defaults, found {entry!r}")
        choices[str(key).removeprefix(OVERRIDE)] = choice
    return choices | flatten(content)


def set_choices(words: Sequence[str], path: Path = MINE) -> list[str]:
    """Adds choices to those that are kept, and checks that all of them compose.

    Args:
        words: ``key=value`` as on any command line; a group's name chooses its file.
        path: configs/mine.yaml.

    Returns:
        A line for each key that is kept now.

    Raises:
        ConfigError: There is no such key or choice, or a value has the wrong type; the file stays as it was.
    """
    quoted = quote_overrides(words)
    load_config(quoted)
    choices = read_choices(path)
    for override in parse_overrides(quoted):
        key = override.key_or_group
        if key.split(".")[0] in PASSING or override.is_add() or override.is_delete() or override.is_sweep_override():
            raise ConfigError(f"{override.input_line}: expected key=value of a key that lasts")
        choices[key] = override.value()
    _write(choices, path)
    return _lines(choices)


def unset_choices(keys: Sequence[str], path: Path = MINE) -> list[str]:
    """Takes choices back.

    Args:
        keys: As they were set; none means all.
        path: configs/mine.yaml.

    Returns:
        A line for each key that is still kept.

    Raises:
        ConfigError: A key was not set.
    """
    choices = read_choices(path)
    if unknown := [key for key in keys if key not in choices]:
        raise ConfigError(f"not set: {', '.join(unknown)}; set are: {', '.join(choices) or 'none'}")
    left = {key: value for key, value in choices.items() if keys and key not in keys}
    _write(left, path)
    return _lines(left)


def _write(choices: dict[str, Any], path: Path) -> None:
    known = groups()
    body = DictConfig({})
    for key, value in choices.items():
        if key not in known:
            OmegaConf.update(body, key, value, force_add=True)
    content = {
        "defaults": [{f"{OVERRIDE}{key}": value} for key, value in choices.items() if key in known],
        **to_dict(body),
    }
    write_text(path, HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _lines(choices: dict[str, Any]) -> list[str]:
    return [f"{key}={value}" for key, value in choices.items()]
