"""Prompt sets of the configuration, prompts that a person types, and files in DreamBooth's form."""

import pytest
from omegaconf import OmegaConf

from src.core.config import load_config
from src.core.errors import ConfigError
from src.core.sets import CLASS_ONLY, SUBJECT_ONLY, UNRELATED
from src.sampling.prompts import (
    Prompt,
    load_prompts,
    make_slug,
    read_dreambooth_prompts,
    single_prompt,
    subject_only_prompts,
    unrelated_prompts,
)
from src.tabletop.captions import BACKGROUND_PHRASES, VIEWS, view_of, vocabulary
from src.tabletop.subject import SEEN_BACKGROUNDS, UNSEEN_BACKGROUNDS, plan_shots

SETS = ("object", "live", "person", "tabletop")
GROUPS = {
    "object": {"recontext", "surface", "style", "property", "viewpoint"},
    "live": {"recontext", "outfit", "style", "action"},
    "person": {"background", "outfit", "style", "activity", "portrait"},
    "tabletop": {"new-background", "background", "viewpoint", "size", "light"},
}
FILE = """Classes

subject_name,class
cup,cup
red_bear,stuffed animal
rex,dog

Prompts

Object Prompts

prompt_list = [
'a {0} {1} under a bridge'.format(unique_token, class_token),
"a {0} {1} near the king's castle".format(unique_token, class_token),
'a green {0} {1}'.format(unique_token, class_token),
'a {0} {1} in a cave'.format(unique_token, class_token)
]

Live Subject Prompts

prompt_list = [
'a {0} {1} wearing boots'.format(unique_token, class_token),
'a {0} {1} in a nurse outfit'.format(unique_token, class_token),
]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "prompts_and_classes.txt"
    path.write_text(FILE)
    return path


def entry(id="moon", text="a {subject} on the moon", group="recontext"):  # noqa: A002
    return {"id": id, "group": group, "text": text}


@pytest.mark.parametrize("name", SETS)
def test_prompt_sets_are_large_diverse_and_disjoint(name):
    prompts = load_prompts(load_config([f"prompts={name}"]).prompts)
    counts = {which: sum(prompt.set == which for prompt in prompts) for which in ("dev", "test")}
    # as many as one image each needs for a verdict: docs/metrics.md
    assert counts == {"dev": 16, "test": 48}
    assert len({prompt.text for prompt in prompts}) == len(prompts)
    for which in ("dev", "test"):
        assert {prompt.group for prompt in prompts if prompt.set == which} == GROUPS[name]


@pytest.mark.parametrize("name", SETS)
def test_prompts_name_the_subject_once_and_fit_the_text_encoder(name):
    for prompt in load_prompts(load_config([f"prompts={name}"]).prompts):
        generated, plain = prompt.with_token("sksToy", "toy"), prompt.plain("toy")
        assert generated.count("sksToy toy") == 1
        assert generated.replace("sksToy ", "") == plain
        assert "{" not in generated + plain
        assert len(generated.split()) < 25


def test_embedded_prompts_are_in_the_words_of_the_world_and_describe_no_photo():
    """A prompt that says what a photo shows could be met by repeating it: true views, and those a captioner may say."""
    scenes = [vars(shot.scene) for shot in plan_shots(0)]
    shown = {f"{BACKGROUND_PHRASES[scene['background']][0]} {view_of(scene)}" for scene in scenes}
    shown |= {f"{BACKGROUND_PHRASES[where][0]} {view}" for where in SEEN_BACKGROUNDS for view in (VIEWS[1], VIEWS[3])}
    prompts = load_prompts(load_config(["prompts=tabletop"]).prompts)
    for prompt in prompts:
        assert set(prompt.plain("bear").split()) <= set(vocabulary())
        assert prompt.text.split("{subject} ")[1] not in shown
    unseen = [phrase for where in UNSEEN_BACKGROUNDS for phrase in BACKGROUND_PHRASES[where]]
    new = {prompt.id for prompt in prompts if any(phrase in prompt.text for phrase in unseen)}
    assert new == {prompt.id for prompt in prompts if prompt.group == "new-background"}
    assert sum(prompt.id in new for prompt in prompts if prompt.set == "test") == 16


@pytest.mark.parametrize(
    ("overrides", "images"),
    [([], 1), (["model=sd15", "subject=person"], 1), (["prompts=dreambooth_file"], 4)],
)
def test_few_prompts_have_several_images_each(overrides, images):
    assert load_config(overrides).validation_args.num_images_per_prompt == images


def test_prompt_article_follows_the_class_noun():
    prompt = Prompt("moon", "test", "recontext", "a {subject} on a moon, a photo of a {subject}")
    assert prompt.plain("elephant") == "an elephant on a moon, a photo of an elephant"
    assert prompt.plain("toy") == "a toy on a moon, a photo of a toy"
    assert prompt.with_token("sksToy", "elephant") == "a sksToy elephant on a moon, a photo of a sksToy elephant"


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ({"dev": [entry()], "test": [entry()]}, "'moon'.*taken"),
        ({"dev": [entry()], "test": [entry("sun", "a toy in the sun")]}, "'sun'.*exactly once"),
        ({"dev": [entry()], "test": [entry("sun", "{subject} {subject}")]}, "'sun'.*exactly once"),
        ({"dev": [entry()], "test": [entry("Sun Set")]}, "'Sun Set'.*lower-case"),
        ({"dev": [entry()], "test": []}, r"prompts\.test: empty"),
        ({"test": [entry()]}, r"prompts\.dev: empty"),
        ({"dev": [entry()], "test": [entry("sun")], "val": []}, r"prompts\.val: unknown set"),
        ({"dev": [entry()], "test": [{"id": "sun", "text": "a {subject}"}]}, r"prompts\.test\[0\]"),
        ({"dev": [entry()], "test": ["a {subject}"]}, r"prompts\.test\[0\]"),
        ({"dev": [entry()], "test": [entry("sun", group="")]}, "'sun'.*group"),
        ({"dev": [entry()], "test": [entry("sun", text=3)]}, "'sun'.*text is 3"),
        ({"file": "prompts.txt"}, "expected"),
    ],
)
def test_load_prompts_names_what_is_wrong(prompts, message):
    with pytest.raises(ConfigError, match=message):
        load_prompts(prompts)


def test_load_prompts_takes_plain_and_omegaconf_containers():
    prompts = {"dev": [entry()], "test": [entry("sun")]}
    assert load_prompts(prompts) == load_prompts(OmegaConf.create(prompts))


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("a photo of sksToy on the moon", "a photo of toy on the moon"),
        ("a photo of sksToy toy on the moon", "a photo of toy on the moon"),
        ("sksToys are not sksToy", "sksToys are not toy"),
        ("a castle", "a castle"),
        ("an sksToy  in {braces}", "a toy  in {braces}"),
    ],
)
def test_single_prompt_generates_what_was_typed(typed, plain):
    prompt = single_prompt(typed, "sksToy", "toy")
    assert prompt.with_token("sksToy", "toy") == typed
    assert prompt.plain("toy") == plain
    assert (prompt.set, prompt.group) == ("test", "single")


def test_single_prompt_refuses_an_empty_text():
    with pytest.raises(ConfigError, match="expected what is to be generated"):
        single_prompt("  ", "sksToy", "toy")


def test_make_slug_is_readable_and_distinct():
    assert make_slug("A photo of sksToy, on the moon!") == "a-photo-of-skstoy-on-the-moon"
    long = "word " * 30
    texts = [long, long + "x", "игрушка", "кот", "café", "caf", "?", "a b"]
    slugs = [make_slug(text) for text in texts]
    assert len(set(slugs)) == len(texts)
    assert all(len(slug) <= 60 and slug.isascii() and slug.strip("-") == slug for slug in slugs)


def test_read_dreambooth_prompts_splits_and_groups(file):
    prompts = read_dreambooth_prompts(file, "red_bear", ["dog"], 4)
    assert [(prompt.set, prompt.group, prompt.id) for prompt in prompts] == [
        ("dev", "recontext", "in-a-cave"),
        ("test", "recontext", "under-a-bridge"),
        ("test", "recontext", "near-the-king-s-castle"),
        ("test", "property", "green"),
    ]
    assert prompts[3].with_token("sks", "toy") == "a green sks toy"
    assert prompts == read_dreambooth_prompts(file, "stuffed animal", ["dog"], 4)


def test_read_dreambooth_prompts_gives_live_classes_their_own_list(file):
    settings = {"file": str(file), "subject_name": "rex", "live_classes": ["dog"], "dev_every": 2}
    assert [prompt.text for prompt in load_prompts(settings)] == [
        "a {subject} in a nurse outfit",
        "a {subject} wearing boots",
    ]


def test_dreambooth_file_choice_composes_to_what_the_reader_takes(file):
    config = load_config(["subject=dog", "prompts=dreambooth_file", f"prompts.file={file}", "prompts.dev_every=2"])
    assert {prompt.group for prompt in load_prompts(config.prompts)} == {"outfit"}


def test_read_dreambooth_prompts_lists_the_known_names(file):
    with pytest.raises(ConfigError, match="cup, dog, red_bear, rex, stuffed animal"):
        read_dreambooth_prompts(file, "spoon", ["dog"], 4)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("subject_name,class\n", "", "expected a line 'subject_name,class'"),
        ("cup,cup", "cup", "line 4"),
        ("Object Prompts", "Thing Prompts", "expected a line 'Object Prompts'"),
        ("'a green {0} {1}'.format(unique_token, class_token)", "__import__('os').system('true')", "line 15"),
        ("'a green {0} {1}'", "'a green {0}'", "exactly once"),
    ],
)
def test_read_dreambooth_prompts_refuses_another_form(file, old, new, message):
    file.write_text(FILE.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        read_dreambooth_prompts(file, "red_bear", ["dog"], 4)


def test_read_dreambooth_prompts_names_a_missing_file(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        read_dreambooth_prompts(tmp_path / "none.txt", "cup", [], 4)


def test_subject_only_prompts_show_the_class_with_and_without_the_token():
    prior, subject_only = subject_only_prompts("a photo of a {subject}")
    assert (prior.set, subject_only.set) == (CLASS_ONLY, SUBJECT_ONLY)
    assert prior.with_token("sksToy", "owl") == prior.plain("owl") == "a photo of an owl"
    assert subject_only.with_token("sksToy", "owl") == "a photo of a sksToy owl"
    assert subject_only.plain("owl") == "a photo of an owl"
    with pytest.raises(ConfigError, match="exactly once"):
        subject_only_prompts("a photo")


def test_unrelated_prompts_are_asked_as_they_are():
    prompts = unrelated_prompts(["a photo of a lake", "a mug"])
    assert {prompt.set for prompt in prompts} == {UNRELATED}
    assert [prompt.with_token("sksToy", "owl") for prompt in prompts] == ["a photo of a lake", "a mug"]
    assert [prompt.plain("owl") for prompt in prompts] == ["a photo of a lake", "a mug"]
    with pytest.raises(ConfigError, match="stands twice"):
        unrelated_prompts(["a mug", "a mug"])
    with pytest.raises(ConfigError, match="a text without subject"):
        unrelated_prompts(["a {subject}"])


@pytest.mark.parametrize("model", ["tabletop", "sd15"])
def test_ten_unrelated_prompts_speak_of_no_subject_and_in_words_that_the_model_knows(model):
    config = load_config([f"model={model}"])
    prompts = unrelated_prompts(config.validation_args.unrelated_prompts)
    assert len(prompts) == 10
    assert not any(config.subject.class_name in prompt.text.split() for prompt in prompts)
    if model == "tabletop":
        assert all(set(prompt.text.split()) <= set(vocabulary()) for prompt in prompts)
