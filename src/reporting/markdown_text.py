"""Markdown that shows a text as it is: what came from data can make no link, picture, heading, cell or HTML."""

import re
from typing import Any
from urllib.parse import quote

# CommonMark 0.31 and GitHub's extensions: code, emphasis, links, pictures, cells, strike-through, formulas
SPECIAL = re.compile(r"[\\`*\[\]|~$]")
# within a word an underscore is one; dino_vits16 stays readable
UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
# as entities, since an escaped @ still calls a person on GitHub
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}
# a heading, list or line of a heading above; they count at the beginning of a line alone
OPENING = re.compile(r"^( ?)(#{1,6}(?= |$)|[-+](?= |$)|[-=]+ ?$)")
NUMBERED = re.compile(r"^( ?\d{1,9})([.)])(?= |$)")
SPACES = re.compile(r"\s+")


class Markdown(str):
    """A text that is Markdown already."""

    __slots__ = ()


def escape_markdown(value: Any) -> Any:
    """Returns a text as Markdown that shows it, on one line; `Markdown` and what is no text stay as they are."""
    if not isinstance(value, str) or isinstance(value, Markdown):
        return value
    line = "".join(ENTITIES.get(letter, letter) for letter in SPACES.sub(" ", value))
    line = UNDERSCORE.sub(r"\\_", SPECIAL.sub(r"\\\g<0>", line))
    return Markdown(NUMBERED.sub(r"\1\\\2", OPENING.sub(r"\1\\\2", line)))


def picture_link(label: str, path: str) -> Markdown:
    """Returns a picture.

    Args:
        label: What stands for it where it is not shown.
        path: Relative to the Markdown file.

    Returns:
        Markdown.
    """
    return Markdown(f"![{escape_markdown(label)}]({quote(path)})")
