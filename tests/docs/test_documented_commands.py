"""Every command of README.md, CONTRIBUTING.md and SECURITY.md is run, in small, as it stands there."""

import os

import pytest

from tests.docs.markdown import documented, documents
from tests.docs.run import Place, run_command

# the same words may stand in several places: they are run once
COMMANDS = {}
for _command in documented(documents()[:3]):
    COMMANDS.setdefault((_command.text, _command.needs), _command)
RAN = []


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A project with a finished run, and a clone; a home and git identity of its own."""
    before = dict(os.environ)
    yield Place(tmp_path_factory.mktemp("docs"))
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: f"{command.where} {command.text}")
def test_documented_command_works(command, place):
    run_command(command, place)
    RAN.append(command)


def test_no_documented_command_was_left_out(request):
    if request.config.option.keyword or request.config.option.lf:
        pytest.skip("only some were asked for")
    assert list(COMMANDS.values()) == RAN
