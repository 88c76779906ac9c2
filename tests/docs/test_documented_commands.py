"""Every command of the documentation is run, in small, as it stands there."""

from functools import lru_cache, partial
from pathlib import Path

import pytest

from src.core import config
from src.pretraining import sampling
from src.stages import train
from tests.docs.markdown import documented, documents
from tests.docs.run import Place, run_command
from tests.integration.project import environment
from tests.training.scaling import scaling_accelerator

# the same words may stand in several places: they are run once, from the page that says what they need if there is one
COMMANDS = {}
for _command in documented(documents()):
    _key = frozenset(_command.words), _command.needs
    if not (_command.in_comment and any(_key[0] == words for words, _ in COMMANDS)):
        COMMANDS.setdefault(_key, _command)
RAN = []
PARAMS = Path("params.yaml")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A project with a finished run, and a clone; a home and git identity of its own."""
    root = tmp_path_factory.mktemp("docs")
    home = {"HOME": str(root / "home"), "DVC_SITE_CACHE_DIR": str(root / "home/dvc")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (environment() | home).items():
            patch.setenv(name, value)
        patch.setattr(config, "load_config", remember(config.load_config))
        patch.setattr(sampling, "SHOWN_STEPS", 2)
        patch.setattr(train, "build_accelerator", partial(build_accelerator, train.build_accelerator))
        yield Place(root)


def remember(load):
    """Loads a configuration once for the stages of a command, which takes longer than most of them."""

    @lru_cache
    def loaded(words, _params):
        return load(words)

    return lambda words: loaded(tuple(words), PARAMS.read_text() if f"exp.config_path={PARAMS}" in words else "")


def build_accelerator(refusing, params):
    """Builds a stage's accelerator; of fp16, which that refuses without CUDA, one with a scaler of this machine."""
    if params.train.mixed_precision != "fp16":
        return refusing(params)
    return scaling_accelerator(params.train.gradient_accumulation_steps)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: f"{command.where} {command.text}")
def test_documented_command_works(command, place):
    run_command(command, place)
    RAN.append(command)


def test_no_documented_command_was_left_out(request):
    if request.config.option.keyword or request.config.option.lf:
        pytest.skip("only some were asked for")
    assert list(COMMANDS.values()) == RAN
