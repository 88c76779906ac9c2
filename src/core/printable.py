"""Escapes what terminals, tables and pages would obey rather than show."""

import unicodedata

# control characters, invisible ones (U+202E turns text around), line ends of Unicode, halves of surrogate pairs
HIDDEN = frozenset(("Cc", "Cf", "Zl", "Zp", "Cs"))
# joiners in the words of some scripts and within emoji
SHOWN = frozenset("\u200c\u200d")


def printable(text: str) -> str:
    """Writes each character that cannot be seen as its escape.

    Args:
        text: From a file or its name.

    Returns:
        One line, in which `\\u202e` stands for U+202E.
    """
    return "".join(_escape(character) for character in text)


def _escape(character: str) -> str:
    if unicodedata.category(character) in HIDDEN and character not in SHOWN:
        return character.encode("unicode_escape").decode("ascii")
    return character
