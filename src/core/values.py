"""Compares values with their defaults: mappings stay mappings, types stay types, numbers are numbers."""

import math
from typing import Any

from src.core.choices import expected, groups
from src.core.errors import ConfigError

# what every consumer of a seed takes: torch, numpy and Python's own generator
SEEDS = range(2**63)
INT64 = range(-(2**63), 2**63)


def check_shape(default: dict[str, Any], found: dict[str, Any], prefix: str = "") -> None:
    """Checks that what has keys below it still has them; to be called before anything is resolved.

    Args:
        default: Plain values, interpolations as text.
        found: Plain values that were laid over them.
        prefix: Where they are, dotted.

    Raises:
        ConfigError: A section or a group is left out or is something else than a mapping.
    """
    for name, section in default.items():
        key, value = f"{prefix}{name}", found.get(name)
        if not isinstance(section, dict):
            continue
        if not isinstance(value, dict):
            shown = "null" if value is None else value
            wanted = expected(name) if key in groups() else f"keys below it: {', '.join(f'{key}.{k}' for k in section)}"
            raise ConfigError(f"{key}={shown}: expected {wanted}")
        if key not in groups():
            check_shape(section, value, f"{key}.")


def number_errors(value: Any, key: str = "") -> list[str]:
    """Checks numbers of any depth.

    Args:
        value: Plain values.
        key: Where they are, dotted.

    Returns:
        A message for each seed out of range, each number over 64 bits and each that is not finite.
    """
    if isinstance(value, dict):
        pairs = [(f"{key}.{name}" if key else str(name), item) for name, item in value.items()]
        return [message for name, item in pairs for message in number_errors(item, name)]
    if isinstance(value, list):
        return [message for index, item in enumerate(value) for message in number_errors(item, f"{key}[{index}]")]
    if isinstance(value, bool):
        return []
    if isinstance(value, int) and key.rpartition(".")[2] == "seed" and value not in SEEDS:
        return [f"{key}={value}: expected a whole number from 0 to 2^63 - 1"]
    if isinstance(value, int) and value not in INT64:
        return [f"{key}={value}: expected a number of at most 64 bits"]
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{key}={value}: expected a number that is finite"]
    return []


def type_errors(default: Any, value: Any, key: str) -> list[str]:
    """Compares a value with its default.

    Args:
        default: Plain values; what is below another `_target_` is not compared.
        value: Plain values.
        key: Where they are, dotted.

    Returns:
        A message for each value of another type.
    """
    if isinstance(default, dict) and isinstance(value, dict):
        if default.get("_target_") != value.get("_target_"):
            return []
        return [
            message
            for name in default.keys() & value.keys()
            for message in type_errors(default[name], value[name], f"{key}.{name}" if key else name)
        ]
    if default and isinstance(default, list) and isinstance(value, list):
        return [message for i, item in enumerate(value) for message in type_errors(default[0], item, f"{key}[{i}]")]
    if default is None or type(value) is type(default):
        return []
    if value is None:
        return [f"{key} is null, expected {type(default).__name__}"]
    if isinstance(default, float) and type(value) is int:
        return []
    return [f"{key}={value!r} is {type(value).__name__}, expected {type(default).__name__}"]
