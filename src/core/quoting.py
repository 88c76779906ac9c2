"""Texts on the command line: people type them as they are, Hydra wants them quoted."""

import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

# their default is null, and nothing else says that they are texts
TEXTS = ("prompt", "exp.config_path")
# never a list, whatever its brackets
ALWAYS_TEXT = ("exp.config_path",)
# in brackets, a list whose entries are texts in any alphabet
LISTS_OF_TEXTS = ("prompt",)
PATH = re.compile(
    r"(?:.*\.)?(?:\w+_dir|\w+_path|\w+_file|\w+_image|architecture|folder|file|id|start|vae|text|backbone|weights|config)"
)
QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.S)
# of a list of texts: in quotes of its own, or all up to the next comma
ITEM = re.compile(rf"\s*({QUOTED.pattern})\s*(?:,|$)|([^,]+)(?:,|$)", re.S)
# of a list: brackets, but for those in quotes of an item's own
BRACKET = re.compile(rf"(?<=[\[,])\s*(?:{QUOTED.pattern})|[\[\]]", re.S)


def text_keys(defaults: Mapping[str, Any]) -> set[str]:
    """Lists the keys that take the rest of the argument as it is.

    Args:
        defaults: Each key's default, dotted.

    Returns:
        The keys whose default is text or null.
    """
    return {key for key, value in defaults.items() if value is None or isinstance(value, str)} | set(TEXTS)


def quote_words(words: Sequence[str], texts: Set[str], lists: Set[str] = frozenset()) -> list[str]:
    """Quotes what a person typed as a text, a name or a path, so that nothing in it is Hydra's grammar.

    Args:
        words: For example ``prompt=a toy, on the moon``.
        texts: The keys that take text.
        lists: Those of them that may be a list instead, if the bracket that begins it is closed by its last character:
            their default is null; entries of prompts are texts, too.

    Returns:
        ``prompt='a toy, on the moon'``; other keys, null and what is in quotes of its own stay as they are. A ``~``
        that begins a path becomes the home folder, as shells do it.
    """
    return [_quote(word, texts, lists) for word in words]


def _quote(word: str, texts: Set[str], lists: Set[str]) -> str:
    key, equals, value = word.partition("=")
    name = key.lstrip("+")
    is_list = name in lists and name not in ALWAYS_TEXT and _is_list(value)
    if name in LISTS_OF_TEXTS and is_list:
        items = [
            quotes or quoted(plain.strip()) for quotes, plain in ITEM.findall(value[1:-1]) if quotes or plain.strip()
        ]
        return f"{key}=[{','.join(items)}]"
    if not equals or name not in texts or value in ("", "null") or QUOTED.fullmatch(value) or is_list:
        return word
    return f"{key}={quoted(at_home(value, name))}"


def _is_list(value: str) -> bool:
    """Says whether a value begins with a bracket that its last character closes."""
    if value[:1] != "[":
        return False
    depth = 0
    for found in BRACKET.finditer(value):
        depth += {"[": 1, "]": -1}.get(found[0], 0)
        if depth == 0:
            return found.end() == len(value)
    return False


def quoted(text: str) -> str:
    """Writes any text in Hydra's quotes, so that it is taken literally."""
    # OmegaConf takes backslashes for themselves except before ${, Hydra except before a quote
    literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    return "'" + re.sub(r"(\\+)(?='|$)", r"\1\1", literal).replace("'", r"\'") + "'"


def literal_path(word: str) -> str:
    """Returns the path of ``key=path``, out of its quotes if it has any; ``~/`` is the home folder."""
    value = word.partition("=")[2]
    if QUOTED.fullmatch(value):
        return re.sub(r"\\(['\"])", r"\1", value[1:-1])
    return str(Path(value).expanduser()) if value.startswith("~/") else value


def escaped(value: Any) -> Any:
    """Escapes ``${`` in plain values, so that OmegaConf reads them as they are."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    if isinstance(value, list):
        return [escaped(item) for item in value]
    return {key: escaped(item) for key, item in value.items()} if isinstance(value, dict) else value


def at_home(value: Any, key: str = "") -> Any:
    """Replaces the ``~/`` that begins a path by the home folder.

    Args:
        value: Plain values.
        key: Where they are, dotted.

    Returns:
        A copy.
    """
    if isinstance(value, dict):
        return {name: at_home(item, f"{key}.{name}".lstrip(".")) for name, item in value.items()}
    if isinstance(value, str) and (value == "~" or value.startswith("~/")) and PATH.fullmatch(key):
        return str(Path(value).expanduser())
    return value
