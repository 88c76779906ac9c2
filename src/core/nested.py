"""Nested plain values as one mapping of dotted keys."""

import re
from collections.abc import Mapping
from typing import Any

REFERENCE = re.compile(r"(?<!\\)\$\{([\w.]+)\}")


def flatten(node: Mapping[Any, Any], prefix: str = "", lists: bool = False) -> dict[str, Any]:
    """Turns nested mappings into one of dotted keys, in their order; an empty one is a value.

    Args:
        node: Plain values.
        prefix: What every key begins with.
        lists: Whether the entries of a list have keys of their own, numbers from 0; else a list is a value.

    Returns:
        For example ``{"a.b": 1}`` for ``{"a": {"b": 1}}``.
    """
    flat: dict[str, Any] = {}
    for key, value in node.items():
        inner = dict(enumerate(value)) if lists and isinstance(value, list) else value
        if isinstance(inner, Mapping) and inner:
            flat |= flatten(inner, f"{prefix}{key}.", lists)
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def read_through(keys: set[str], written: Mapping[str, Any]) -> set[str]:
    """Adds to keys those that their values refer to, directly or not.

    Args:
        keys: Dotted: a whole section, or one key of it.
        written: Values by dotted key, interpolations as they are written: ``${seed}``.

    Returns:
        The keys and what is read through them.
    """
    found = set(keys)
    while True:
        below = [value for key, value in written.items() if any(f"{key}.".startswith(f"{one}.") for one in found)]
        more = {name for value in below for name in REFERENCE.findall(str(value))} - found
        if not more:
            return found
        found |= more
