"""Every command answers --help and wrong words in the same way."""

import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "src/commands"
COMMANDS = sorted(path.stem for path in FOLDER.glob("*.py") if "def main(" in path.read_text())


@pytest.fixture(params=COMMANDS)
def command(request, monkeypatch, tmp_path, capsys):
    """A command's module, and what runs it with words where it could do no harm: status, output and errors."""
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(f"src.commands.{request.param}")

    def said(*words):
        monkeypatch.setattr("sys.argv", [request.param, *words])
        with pytest.raises(SystemExit) as ended:
            module.main()
        assert not list(tmp_path.iterdir())
        return ended.value.code, *capsys.readouterr()

    return module, said


def test_help_is_the_usage_and_what_the_command_does(command):
    module, said = command
    code, out, err = said("--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: python -m {module.__name__} ")
    assert module.__doc__.strip() in out


def test_wrong_words_are_answered_with_the_usage_and_status_2(command):
    module, said = command
    code, out, err = said("--no-such-option")
    assert (code, out) == (2, "")
    assert err.startswith(f"usage: python -m {module.__name__} ")
    assert ": error: " in err.splitlines()[-1]
