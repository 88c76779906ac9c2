"""Captions: each planted fault is named, good ones are not."""

import pytest

from src.data.checks.wording import CaptionRow, says_place, wording, words_beyond

PREFIX = "a photo of sksToy toy"
GOOD = ("on a table", "in a garden, looking left", "lying on a bed", "held by a child", "near a window at night")


def rows(*said, groups=None):
    texts = [f"{PREFIX} {words}".strip() for words in said]
    names = [f"photo-{n}" for n in range(len(said))]
    return [CaptionRow(*row) for row in zip(names, groups or names, texts, strict=True)]


def look(*said, groups=None):
    return wording(rows(*said, groups=groups), PREFIX, repeated=0.9, background=0.1, least_captions=4)


def test_good_captions_have_nothing_wrong():
    assert look(*GOOD) == []


def test_trait_in_every_caption_is_named_and_what_varies_is_not():
    (found,) = look(*(f"with blue eyes {words}" for words in GOOD))
    assert (found.kind, found.detail, found.figure) == ("repeated_word", "blue, eyes", 1.0)
    assert look("with blue eyes on a table", *GOOD[1:]) == []


def test_words_of_place_and_of_the_camera_are_no_traits():
    assert look(*(f"{words}, seen from above, in focus" for words in GOOD)) == []


def test_captions_without_a_background_are_named():
    (found,) = look("smiling", "looking left", "anxious expression, view from above", "centered", "asleep")
    assert (found.kind, found.figure, found.threshold) == ("no_background", 0.0, 0.1)


def test_same_caption_for_different_photos_is_named_and_for_a_burst_is_not():
    (found,) = look(*GOOD, "on a table")
    assert (found.kind, found.images, found.figure) == ("same_caption", ("photo-0", "photo-5"), 2)
    assert look(*GOOD, "on a table", groups=["burst", *"abcd", "burst"]) == []


def test_captions_of_the_prefix_alone_are_named_once_and_not_as_the_same():
    (found,) = look(*GOOD, "", "")
    assert (found.kind, found.images, found.figure) == ("empty_caption", ("photo-5", "photo-6"), 2)


def test_of_three_captions_nothing_is_said_as_a_whole():
    assert look("smiling", "smiling broadly", "smiling again") == []


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("on a table", True),
        ("against a brown wall", True),
        ("на столе", True),
        ("view from above", False),
        ("slightly left of center", False),
        ("in the centre of the photo, smiling", False),
        ("on right side", False),
    ],
)
def test_place_is_told_from_composition(words, place):
    assert says_place(f"{PREFIX} {words}") is place


def test_words_beyond_the_prefix_leave_out_its_own():
    assert words_beyond("a photo of small sksToy toy on a bed", PREFIX) == ["small", "on", "bed"]
