import re

import pytest

from src.tabletop.backgrounds import BACKGROUNDS
from src.tabletop.captions import (
    ANY_TOY,
    BACKGROUND_PHRASES,
    CLASS_WORDS,
    COLOUR_WORDS,
    STARTS,
    VIEWS,
    caption,
    plain_caption,
    view_of,
    vocabulary,
)
from src.tabletop.toys import CLASSES, COLOURS
from src.tabletop.world import plan_world, scene_table

SCENES = 4000
LIGHTS = ("in warm light", "in cold light")


def choice(name, phrases):
    longest_first = sorted(phrases, key=len, reverse=True)
    return f"(?:(?P<{name}>{'|'.join(map(re.escape, longest_first))}) ?)"


def words_of(table):
    return [word for words in table.values() for word in words]


GRAMMAR = re.compile(
    choice("start", [start for start in STARTS if start])
    + "?(?P<article>an?) "
    + choice("size", ["small", "big"])
    + "?"
    + choice("colour", words_of(COLOUR_WORDS))
    + "?(?:(?P<rare>[a-z]{3,6}) )??"
    + choice("noun", [ANY_TOY, *words_of(CLASS_WORDS)])
    + choice("background", words_of(BACKGROUND_PHRASES))
    + "?"
    + choice("view", VIEWS)
    + "?"
    + choice("light", LIGHTS)
    + "?"
)


def parse(text):
    match = GRAMMAR.fullmatch(text)
    assert match, text
    assert text == text.strip()
    return match.groupdict()


@pytest.fixture(scope="module")
def rows():
    return scene_table(plan_world("train", SCENES, 11)).to_dict("records")


@pytest.fixture(scope="module")
def parsed(rows):
    return [parse(caption(row, seed)) for seed, row in enumerate(rows)]


def share(parsed, name):
    return sum(said[name] is None for said in parsed) / len(parsed)


def test_caption_words_cover_the_world():
    assert set(CLASS_WORDS) == set(CLASSES)
    assert set(COLOUR_WORDS) == set(COLOURS)
    assert set(BACKGROUND_PHRASES) == set(BACKGROUNDS)


@pytest.mark.parametrize("table", [CLASS_WORDS, COLOUR_WORDS, BACKGROUND_PHRASES])
def test_caption_words_mean_one_thing_each(table):
    words = words_of(table)
    assert len(set(words)) == len(words)


def test_caption_says_what_the_scene_shows(rows, parsed):
    for row, said in zip(rows, parsed, strict=True):
        assert said["noun"] in (ANY_TOY, *CLASS_WORDS[row["name"]])
        assert said["colour"] in (None, *COLOUR_WORDS[row["colour"]])
        assert said["background"] in (None, *BACKGROUND_PHRASES[row["background"]])
        assert said["view"] in (None, view_of(row))
        assert said["size"] in (None, "small" if row["distance"] > 3.45 else "big" if row["distance"] < 3.1 else None)
        assert said["light"] is None or (said["light"] == LIGHTS[0]) == (row["warmth"] > 0.5)
        assert said["light"] != LIGHTS[1] or row["warmth"] < -0.1


def test_caption_uses_every_word(parsed):
    for name, words in (
        ("noun", [ANY_TOY, *words_of(CLASS_WORDS)]),
        ("colour", words_of(COLOUR_WORDS)),
        ("background", words_of(BACKGROUND_PHRASES)),
        ("view", VIEWS),
        ("light", LIGHTS),
        ("size", ("small", "big")),
    ):
        assert {said[name] for said in parsed} - {None} == set(words), name


def test_caption_leaves_parts_out_as_often_as_it_should(parsed):
    # four standard deviations at 4000 captions and p = 0.12 are 0.02
    assert share(parsed, "colour") == pytest.approx(0.12, abs=0.02)
    assert share(parsed, "background") == pytest.approx(0.08, abs=0.02)
    assert share(parsed, "start") == pytest.approx(1 / len(STARTS), abs=0.03)
    assert share(parsed, "view") == pytest.approx(0.7, abs=0.03)
    assert share(parsed, "rare") == pytest.approx(0.94, abs=0.02)
    assert sum(said["noun"] == ANY_TOY for said in parsed) / len(parsed) == pytest.approx(0.08, abs=0.02)


def test_caption_fits_the_text_encoder(rows):
    known = set(vocabulary())
    for seed, row in enumerate(rows):
        words = caption(row, seed).split()
        # a piece for each known word, at worst one for each letter of another, a start and an end
        assert 2 + sum(1 if word in known else len(word) for word in words) <= 77
        assert len(words) <= 25


def test_caption_takes_the_right_article(rows):
    for seed, row in enumerate(rows):
        article, following = re.search(r"\b(an?) (\w)", caption(row, seed)).groups()
        if not caption(row, seed).startswith(("a p", "an image")) or article == "an":
            assert (article == "an") == (following in "aeiou")


def test_caption_depends_on_scene_and_seed_alone(rows):
    assert caption(rows[0], 5) == caption(dict(rows[0]), 5)
    assert len({caption(rows[0], seed) for seed in range(50)}) > 30


def test_vocabulary_holds_every_word(rows, parsed):
    known = vocabulary()
    assert known == sorted(set(known))
    for seed, (row, said) in enumerate(zip(rows, parsed, strict=True)):
        assert set(caption(row, seed).split()) - {said["rare"]} <= set(known)
    assert all(set(plain_caption(*triple).split()) <= set(known) for triple in (("bear", "orange", "wood"),))


def test_plain_caption_is_one_that_training_may_see():
    for name in CLASSES:
        for colour in COLOURS:
            for background in BACKGROUNDS:
                said = parse(plain_caption(name, colour, background))
                assert said["noun"] in CLASS_WORDS[name]
                assert said["colour"] in COLOUR_WORDS[colour]
                assert said["background"] in BACKGROUND_PHRASES[background]
                assert said["rare"] is said["view"] is said["light"] is None
    assert plain_caption("car", "orange", "wood") == "a photo of an orange car on a wooden table"


@pytest.mark.parametrize(
    ("azimuth", "elevation", "view"),
    [(0, 20, 0), (-44, 20, 0), (90, 20, 1), (-90, 20, 1), (170, 20, 2), (-170, 20, 2), (0, 45, 3), (180, 45, 3)],
)
def test_view_of_names_the_side(azimuth, elevation, view):
    assert view_of({"azimuth": azimuth, "elevation": elevation}) == VIEWS[view]
