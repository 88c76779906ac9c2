"""What is wrong with captions: what they all repeat, what none of them says, lines that are the same or say nothing."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from src.data.checks.finding import Finding

WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
# what ties words together and names no trait
# fmt: off
FUNCTION = frozenset(
    (
        "a", "an", "the", "this", "that", "these", "those", "it", "its", "his", "her", "their", "and", "or", "but",
        "of", "to", "from", "for", "by", "with", "without", "as", "is", "are", "was", "were", "be", "being", "very",
        "slightly", "some", "one", "two", "there", "here", "who", "which", "while",
        # of the camera
        "seen", "view", "viewed", "shot", "photographed", "photo", "picture", "image", "close-up", "closeup",
    )
)
# where something is: English, as base models read it, and Russian
PLACES = frozenset(
    (
        "on", "in", "at", "against", "near", "under", "over", "behind", "beside", "inside", "outside", "onto",
        "above", "below", "between", "among", "beneath", "outdoors", "indoors", "outdoor", "indoor", "background",
        "front", "foreground", "на", "в", "во", "у", "около", "возле", "под", "над", "за", "перед", "фоне", "улице",
    )
)
# fmt: on
# the camera's place and the picture's composition, not the subject's surroundings: "in the centre", "view from above"
VIEW = re.compile(
    r"\b(?:view|seen|looking|photographed|shot)\s+(?:\w+\s+)?(?:from\s+)?(?:above|below|front|behind|over)\b|"
    r"\bfront view\b|\b(?:in|at|on)\s+(?:the\s+)?(?:centre|center|middle|focus|photo|picture|image|frame|left|right)\b"
    r"(?:\s+(?:side|of\s+the\s+(?:photo|picture|image|frame)))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class CaptionRow:
    """A photo's caption: its image_id, its near-duplicate group and the words."""

    image: str
    group: str
    caption: str


def words_beyond(caption: str, prefix: str) -> list[str]:
    """Lists what a caption says besides the prefix's own words, in lower case and in order.

    Args:
        caption: With the token and the class noun.
        prefix: `caption.prefix`, which ends with both.

    Returns:
        Words; none where it says no more than the prefix.
    """
    own = set(WORD.findall(prefix.casefold()))
    return [word for word in WORD.findall(caption.casefold()) if word not in own]


def telling(rows: Sequence[CaptionRow], prefix: str) -> list[CaptionRow]:
    """Returns the captions that say more than the prefix, on which alone anything is said as a whole."""
    return [row for row in rows if words_beyond(row.caption, prefix)]


def says_place(caption: str) -> bool:
    """Tells whether a caption says where the subject is, and not only where the camera was."""
    return not PLACES.isdisjoint(WORD.findall(VIEW.sub(" ", caption.casefold())))


def wording(
    rows: Sequence[CaptionRow], prefix: str, repeated: float, background: float, least_captions: int
) -> list[Finding]:
    """Looks at all captions together.

    Args:
        rows: The captions.
        prefix: `caption.prefix`.
        repeated: A word is repeated where at least this share of the captions has it.
        background: At least this share should say where the subject is.
        least_captions: Of fewer nothing is said as a whole.

    Returns:
        Captions without words of their own, the same ones, repeated words, and that next to none says a background.
    """
    full = telling(rows, prefix)
    empty = tuple(row.image for row in rows if row not in full)
    found = [Finding("empty_caption", empty, len(empty), 0)] if empty else []
    found += _same(full)
    captions = [row.caption for row in full]
    if len(captions) < least_captions:
        return found
    if words := _repeated([words_beyond(VIEW.sub(" ", caption), prefix) for caption in captions], repeated):
        share = min(words.values()) / len(captions)
        found.append(Finding("repeated_word", (), share, repeated, ", ".join(words)))
    places = sum(map(says_place, captions))
    if places < background * len(captions):
        found.append(Finding("no_background", (), places / len(captions), background))
    return found


def _same(rows: Sequence[CaptionRow]) -> list[Finding]:
    """Finds captions that photos of several near-duplicate groups share; frames of one burst may."""
    alike: dict[str, list[CaptionRow]] = {}
    for row in rows:
        alike.setdefault(" ".join(row.caption.casefold().split()), []).append(row)
    return [
        Finding("same_caption", tuple(row.image for row in same), len(same), 1, same[0].caption)
        for same in sorted(alike.values(), key=lambda same: (-len(same), same[0].image))
        if len({row.group for row in same}) > 1
    ]


def _repeated(telling: Sequence[Sequence[str]], share: float) -> Mapping[str, int]:
    counts = Counter(word for words in telling for word in dict.fromkeys(words))
    least = max(math.ceil(share * len(telling)), 1)
    return {
        word: count for word, count in counts.items() if count >= least and word not in FUNCTION and word not in PLACES
    }
