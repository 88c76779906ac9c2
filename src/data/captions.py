"""What a caption looks like: the rare token exactly once and early, the class noun right after it.

Text encoders cut long captions at the end (77 tokens for CLIP), so the token stands at the start. The subject is
named by the token and the class noun only: a second name for it ("a stuffed animal") would learn the subject too.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from src.core.errors import CaptionError, ConfigError

# A person may put words before the token ("a close-up portrait of a smiling sksToy"), but not a sentence.
EARLY_WORDS = 10

# Words a captioner uses for one kind of subject, the general ones included; longer names first.
FAMILIES = (
    (
        *("stuffed animal", "stuffed toy", "teddy bear", "action figure", "plush", "plushie", "toy", "doll", "teddy"),
        *("figurine", "figure", "puppet", "statue", "animal", "bear", "monkey", "creature", "character", "monster"),
    ),
    ("dog", "puppy", "pup", "terrier", "retriever", "corgi", "poodle", "hound", "shepherd", "animal", "pet"),
    ("cat", "kitten", "kitty", "animal", "pet"),
    ("person", "man", "woman", "boy", "girl", "guy", "lady", "child", "kid", "baby", "face", "people", "couple"),
)
PEOPLE = (*FAMILIES[3], "hand", "someone", "somebody")
GENERAL = ("object", "thing", "item")

_OPENING = re.compile(
    r"^(?:(?:there (?:is|are)|this is|here is|arafed|araffe|(?:(?:an?|the) )?(?:[a-z]+ )?"
    r"(?:close[- ]?up|photograph|photo|picture|image|portrait|view|shot)(?: (?:photo|view|shot|picture))? of) )+"
)
_DETERMINER = r"(?:(?:an?|the|one|two|some|this|his|her|my)\s+)?"
_STOP = (
    r"(?:an?|the|his|her|my|their|of|on|in|at|by|to|with|for|from|near|under|over|behind|next|is|are|that|which|who"
    r"|\w+ing)"
)
# what cannot end a phrase: "on a dresser against" ends in "dresser"
_DANGLING = re.compile(rf"(?:\s+(?:{_STOP}|against|and|or|into|onto))+$", re.IGNORECASE)
_MODIFIERS = rf"(?:(?!{_STOP}\b)[\w-]+\s+){{0,4}}?"
_POSTURE = r"(?=(?:(?:that|which) )?(?:is |are )?(?:sitting|standing|laying|lying|sleeping|resting|leaning)\b)"
_LINK = re.compile(r"^(?:(?:that|which|who)\s+)?(?:(?:is|are|was|were)\s+)?")
_MEDIUM = re.compile(r"\b(?:photo|photograph|picture|image|portrait|shot|close[- ]?up|view|selfie|painting|drawing)\b")


@dataclass(frozen=True)
class CaptionRules:
    """Who the subject is and how each caption begins.

    Attributes:
        prefix: The start of every caption; ends with the token and the class noun.
        token: The rare token, one word.
        class_name: The class noun.
        other_names: Further nouns that the captioner may call the subject by.
        shorten: Whether captions that are too long for the model lose their ends; else they are refused.

    Raises:
        ConfigError: The token or the class noun is blank, they are the same, the token has spaces, or the prefix
            does not end with both.
    """

    prefix: str
    token: str
    class_name: str
    other_names: tuple[str, ...] = ()
    shorten: bool = False

    def __post_init__(self) -> None:
        for key, value in (("subject.token", self.token), ("subject.class_name", self.class_name)):
            if not value.strip():
                raise ConfigError(f"{key} is empty: expected a word, for example token=sksToy class_name=toy")
        if re.search(r"\s", self.token):
            raise ConfigError(f"subject.token={self.token!r} has spaces in it: expected one word")
        if self.token.casefold() == self.class_name.casefold():
            raise ConfigError(f"subject.token={self.token!r} is the class noun itself: expected a rare word")
        if not self.prefix.endswith(self.name) or len(self.find_token(self.prefix)) != 1:
            raise ConfigError(
                f"caption.prefix={self.prefix!r}: expected it to end with {self.name!r}, the token nowhere else"
            )

    @property
    def name(self) -> str:
        """The token and the class noun."""
        return f"{self.token} {self.class_name}"

    def find_token(self, text: str) -> list[re.Match[str]]:
        """Finds the token as a whole word, whatever its case (CLIP's tokenizers lower every letter)."""
        return list(re.finditer(rf"(?<!\w){re.escape(self.token)}(?!\w)", text, re.IGNORECASE))


def compose_caption(raw: str, rules: CaptionRules) -> str:
    """Turns a captioner's sentence into a caption: the prefix, then what is said besides naming the subject.

    "a stuffed animal sitting on a table" becomes "a photo of sksToy toy, sitting on a table": an opening such as
    "a close up of", then a leading noun phrase for the subject are dropped. The phrase counts as the subject where
    its noun is the class noun, one of the other names or a word of the same kind, or where it takes a posture ("a
    gremlin sitting on"). "a table with a toy on it" becomes "on a table", "a cup and a toy on a rug" becomes "with a
    cup on a rug", "a woman holding a toy" becomes "a woman holding it". Where nothing is left: the prefix.

    Args:
        raw: What the captioner said.
        rules: The subject and the prefix.

    Returns:
        The caption, checked.
    """
    text = " ".join(raw.casefold().split()).strip(" .,;:")
    text = _OPENING.sub("", text)
    rest = _without_subject(text, rules)
    for match in reversed(rules.find_token(rest)):
        rest = rest[: match.start()] + rules.class_name + rest[match.end() :]
    caption = f"{rules.prefix}, {rest}" if rest else rules.prefix
    check_caption(caption, rules)
    return caption


def compose_user_caption(raw: str, rules: CaptionRules) -> str:
    """Turns a person's caption into one of the same form, keeping every word of theirs.

    What stands after the token follows the class noun, which is put in where it is missing:
    "sksToy with blue eyes" becomes "a photo of sksToy toy with blue eyes". What stands before the token stays
    before it, after the prefix's opening ("small sksToy" becomes "a photo of small sksToy toy") or, where it names
    a medium of its own, instead of it ("a drawing of sksToy" becomes "a drawing of sksToy toy"). A second mention of
    the token becomes the class noun alone.

    Args:
        raw: What the person wrote.
        rules: The subject and the prefix.

    Returns:
        The caption, checked.

    Raises:
        CaptionError: The token is missing or comes too late.
    """
    text = " ".join(raw.split())
    found = rules.find_token(text)
    if not found:
        raise CaptionError(f"expected the token {rules.token!r}, found none in {raw!r}")
    noun = re.escape(rules.class_name)
    before = re.sub(rf"(?<!\w){noun}$", "", text[: found[0].start()].rstrip(), flags=re.IGNORECASE).strip()
    after = re.sub(rf"^\s*{noun}(?!\w)", "", text[found[0].end() :], flags=re.IGNORECASE).rstrip()
    for match in reversed(rules.find_token(after)):
        following = re.sub(rf"^\s*{noun}(?!\w)", "", after[match.end() :], flags=re.IGNORECASE)
        after = after[: match.start()] + rules.class_name + following
    opening = rules.prefix[: -len(rules.name)]
    if before:
        opening = f"{before} " if _MEDIUM.search(before.casefold()) else f"{opening}{before} "
    separator = " " if re.match(r"\w", after) else ""
    caption = f"{opening}{rules.name}{separator}{after}"
    check_caption(caption, rules)
    return caption


def check_caption(caption: str, rules: CaptionRules) -> None:
    """Checks that the token is there once and early, with the class noun after it.

    Args:
        caption: A finished caption.
        rules: The subject.

    Raises:
        CaptionError: It is not so; the message holds the caption.
    """
    found = rules.find_token(caption)
    if len(found) != 1:
        raise CaptionError(f"expected the token {rules.token!r} once, found it {len(found)} times in {caption!r}")
    if not caption[found[0].start() :].startswith(rules.name):
        raise CaptionError(f"expected the class noun {rules.class_name!r} right after the token in {caption!r}")
    if (words := len(caption[: found[0].start()].split())) >= EARLY_WORDS:
        raise CaptionError(
            f"expected the token {rules.token!r} among the first {EARLY_WORDS} words, found {words} before it in "
            f"{caption!r}"
        )


def shorten_caption(caption: str, rules: CaptionRules, fits: Callable[[str], bool]) -> str:
    """Leaves out the end of a caption, clause by clause and then word by word, until it fits.

    "a photo of sksToy toy on a dresser, view from above, slightly left" loses ", slightly left" first: what a person
    writes first matters most to them.

    Args:
        caption: A finished caption.
        rules: The subject; what stands up to the class noun stays.
        fits: Whether a text is short enough.

    Returns:
        The longest beginning of whole clauses that fits, else of whole words.

    Raises:
        CaptionError: Not even the beginning up to the class noun fits.
    """
    end = caption.index(rules.name) + len(rules.name)
    clauses = [match.start() for match in re.finditer(r"[,;.]\s", caption) if match.start() > end]
    words = [match.start() for match in re.finditer(r"\s", caption) if match.start() > end]
    if fits(caption):
        return caption
    for cut in (*reversed(clauses), *reversed(words), end):
        if fits(caption[:cut]):
            return caption[:end] + _DANGLING.sub("", caption[end:cut]).rstrip(" ,;.")
    raise CaptionError(f"{caption[:end]!r} alone is over the model's limit: choose a shorter token or class noun")


def _without_subject(text: str, rules: CaptionRules) -> str:
    nouns = _subject_nouns(rules)
    names = "|".join(re.escape(noun) for noun in sorted(nouns, key=lambda noun: (-len(noun), noun)))
    phrase = rf"{_DETERMINER}{_MODIFIERS}(?:{names})s?(?:\s+(?:{names})s?)*(?!\w)"
    if match := re.match(phrase, text):
        return _rest(text[match.end() :])
    if match := re.match(rf"(.+?) with {phrase}(?:\s+\w+ing)? (on|in|inside|under)(?: top of)? (?:it|them)$", text):
        return f"{match[2]} {match[1]}"
    if match := re.match(rf"(.+?) and {phrase}", text):
        return f"with {match[1]}{text[match.end() :]}"
    if not nouns.isdisjoint(PEOPLE):
        return text
    if match := re.match(rf"{_DETERMINER}{_MODIFIERS}(?!(?:{'|'.join(PEOPLE)})\b)[\w-]+\s+{_POSTURE}", text):
        return _rest(text[match.end() :])
    return re.sub(rf"(?<!\w){phrase}", "it", text)


def _subject_nouns(rules: CaptionRules) -> set[str]:
    noun = rules.class_name.casefold()
    nouns = {noun, rules.token.casefold(), *GENERAL, *(name.casefold() for name in rules.other_names)}
    for family in FAMILIES:
        if noun in family:
            nouns.update(family)
    return nouns


def _rest(text: str) -> str:
    text = re.sub(r"^\s*['’]\s*s\b", "", text)
    text = re.sub(rf"^\s*of\s+{_DETERMINER}(?:(?!{_STOP}\b)[\w-]+(?:\s+|$))+", "", text).lstrip(" ,;:")
    text = _LINK.sub("", text)
    return re.sub(r"^and\b", "with", text).strip(" .,;:")
