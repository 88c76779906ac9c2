"""A person's own choices: kept in configs/mine.yaml, laid over the rest, checked before they are kept."""

import pytest

from src.core.config import compose
from src.core.errors import ConfigError
from src.core.own_choices import MINE, read_choices, set_choices, unset_choices


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(MINE.read_bytes())
    return path


def test_choices_add_up_and_are_taken_back(mine):
    set_choices(["model=sd15", "subject=toy", "subject.token=sksMoose"], mine)
    set_choices(["model=sdxl", "lr=3e-4", "tracker=[tensorboard,clearml]"], mine)
    chosen = {"model": "sdxl", "subject": "toy", "tracker": ["tensorboard", "clearml"]}
    assert read_choices(mine) == {**chosen, "subject.token": "sksMoose", "lr": 3e-4}
    unset_choices(["lr", "tracker"], mine)
    assert read_choices(mine) == {"model": "sdxl", "subject": "toy", "subject.token": "sksMoose"}
    unset_choices([], mine)
    assert read_choices(mine) == {}
    assert mine.read_bytes() == MINE.read_bytes()


@pytest.mark.parametrize("text", ["Мишка", "a, b [c]", "it's", 'say "no"', "yes", "12"])
def test_a_title_is_kept_as_it_was_typed(text, mine):
    set_choices([f"report.title={text}"], mine)
    assert str(read_choices(mine)["report.title"]) == text


@pytest.mark.parametrize("word", ["model=sd99", "modle=sd15", "lr=fast", "exp.run_dir=x", "lr=1,2", "~cropper"])
def test_what_does_not_compose_or_does_not_last_is_not_kept(word, mine):
    before = mine.read_bytes()
    with pytest.raises(ConfigError):
        set_choices(["rank=4", word], mine)
    assert mine.read_bytes() == before


def test_unset_names_what_is_set(mine):
    set_choices(["rank=4"], mine)
    with pytest.raises(ConfigError, match="not set: lr; set are: rank"):
        unset_choices(["lr"], mine)


@pytest.mark.parametrize(
    ("overrides", "first"),
    [
        (["subject=toy"], "grass"),
        (["model=tabletop", "subject=dog"], "grass"),
        (["model=sd15", "subject=dog"], "bamboo-forest"),
        (["model=sd15", "subject=person"], "mountain-pass"),
        (["model=sdxl", "subject=toy"], "desert-dunes"),
        (["model=sd15", "subject=dog", "prompts=object"], "desert-dunes"),
    ],
)
def test_prompts_fit_model_and_subject(overrides, first):
    assert compose(overrides).prompts.test[0].id == first
