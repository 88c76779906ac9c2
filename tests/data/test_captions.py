"""What captions look like: the token once and early, the class noun after it, the subject named by nothing else."""

import pytest

from src.core.errors import CaptionError, ConfigError
from src.data.captions import CaptionRules, check_caption, compose_caption, compose_user_caption, shorten_caption

TOY = CaptionRules("a photo of sksToy toy", "sksToy", "toy")
DOG = CaptionRules("a photo of sksDog dog", "sksDog", "dog")
PERSON = CaptionRules("a photo of sksPerson person", "sksPerson", "person")


@pytest.mark.parametrize(
    ("rules", "raw", "rest"),
    [
        (TOY, "a stuffed animal sitting on top of a table", "sitting on top of a table"),
        (TOY, "there is a small toy that is sitting on a table", "sitting on a table"),
        (TOY, "a close up of a stuffed animal on a bed", "on a bed"),
        (TOY, "arafed stuffed animal laying on a bed", "laying on a bed"),
        (TOY, "a small gremlin sitting on a rug", "sitting on a rug"),
        (TOY, "a table with a toy on it", "on a table"),
        (TOY, "a cat and a toy on a bed", "with a cat on a bed"),
        (TOY, "a person holding a stuffed animal", "a person holding it"),
        (TOY, "a figurine of a small cat on a shelf", "on a shelf"),
        (TOY, "a doll and a cup on a table.", "with a cup on a table"),
        (TOY, "a white plate with a spoon", "a white plate with a spoon"),
        (DOG, "a brown and white dog with its tongue out", "with its tongue out"),
        (DOG, "a dog ' s face with a blurry background", "face with a blurry background"),
        (DOG, "two puppies sleeping", "sleeping"),
        (PERSON, "a young woman with long hair smiling", "with long hair smiling"),
        (PERSON, "a man and a cat sitting on a chair", "with a cat sitting on a chair"),
        (PERSON, "a cat sitting on a chair", "a cat sitting on a chair"),
    ],
)
def test_compose_caption_replaces_the_captioners_words_for_the_subject(rules, raw, rest):
    assert compose_caption(raw, rules) == f"{rules.prefix}, {rest}"


@pytest.mark.parametrize("raw", ["", "  ", ".", "a toy", "there is a toy", "a close up of a stuffed animal"])
def test_compose_caption_is_the_prefix_where_nothing_else_is_said(raw):
    assert compose_caption(raw, TOY) == TOY.prefix


def test_compose_caption_has_the_token_once_even_when_the_captioner_says_it():
    rules = CaptionRules("a photo of blob creature", "blob", "creature")
    assert compose_caption("a table near a blob of blob", rules).count("blob") == 1


@pytest.mark.parametrize(
    ("raw", "caption"),
    [
        ("sksToy with blue eyes", "a photo of sksToy toy with blue eyes"),
        ("sksToy toy with blue eyes", "a photo of sksToy toy with blue eyes"),
        ("SKSTOY, looking left", "a photo of sksToy toy, looking left"),
        ("small sksToy on bed", "a photo of small sksToy toy on bed"),
        ("toy sksToy's hair", "a photo of sksToy toy's hair"),
        ("a drawing of sksToy", "a drawing of sksToy toy"),
        ("a photo of sksToy toy | at night", "a photo of sksToy toy | at night"),
        ("sksToy on dresser, small sksToy centered", "a photo of sksToy toy on dresser, small toy centered"),
        ("sksToy", "a photo of sksToy toy"),
    ],
)
def test_compose_user_caption_keeps_the_persons_words(raw, caption):
    assert compose_user_caption(raw, TOY) == caption


@pytest.mark.parametrize("raw", ["", "a toy on a bed", "sksToys on a bed", "sks toy"])
def test_compose_user_caption_refuses_a_caption_without_the_token(raw):
    with pytest.raises(CaptionError, match="sksToy"):
        compose_user_caption(raw, TOY)


def test_compose_user_caption_refuses_a_late_token():
    with pytest.raises(CaptionError, match="first 10 words"):
        compose_user_caption("on a table in a house by the sea there sits sksToy", TOY)


@pytest.mark.parametrize("caption", ["a photo of toy", "sksToy toy and sksToy toy", "a photo of sksToy doll"])
def test_check_caption_refuses(caption):
    with pytest.raises(CaptionError):
        check_caption(caption, TOY)


@pytest.mark.parametrize(
    ("prefix", "token", "class_name", "key"),
    [
        ("a photo of  toy", "", "toy", r"subject\.token"),
        ("a photo of sksToy  ", "sksToy", "  ", r"subject\.class_name"),
        ("a photo of sks toy toy", "sks toy", "toy", "spaces"),
        ("a photo of Toy toy", "Toy", "toy", "class noun itself"),
        ("a photo of toy", "sksToy", "toy", r"caption\.prefix"),
        ("sksToy, a photo of sksToy toy", "sksToy", "toy", r"caption\.prefix"),
    ],
)
def test_caption_rules_refuse_an_unusable_subject(prefix, token, class_name, key):
    with pytest.raises(ConfigError, match=key):
        CaptionRules(prefix, token, class_name)


def test_other_names_of_the_subject_are_left_out():
    rules = CaptionRules("a photo of sksToy toy", "sksToy", "toy", ("vase", "alarm clock"))
    assert compose_caption("a blue vase on a rug", rules) == "a photo of sksToy toy, on a rug"
    assert compose_caption("a red Alarm Clock next to a cup", rules) == "a photo of sksToy toy, next to a cup"
    assert compose_caption("a blue vase on a rug", TOY) == "a photo of sksToy toy, a blue vase on a rug"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (99, "a photo of small sksToy toy on a dresser, view from above, slightly left."),
        (12, "a photo of small sksToy toy on a dresser, view from above"),
        (8, "a photo of small sksToy toy"),
        (9, "a photo of small sksToy toy on a dresser"),
        (6, "a photo of small sksToy toy"),
    ],
)
def test_shorten_caption_drops_clauses_then_words(words, expected):
    caption = "a photo of small sksToy toy on a dresser, view from above, slightly left."
    assert shorten_caption(caption, TOY, lambda text: len(text.split()) <= words) == expected


def test_shorten_caption_keeps_the_subject():
    with pytest.raises(CaptionError, match="shorter token"):
        shorten_caption("a photo of sksToy toy on a bed", TOY, lambda text: len(text.split()) <= 4)
