import sys

import pytest

from src.stages import config


@pytest.mark.parametrize("words", [["write", "model=sd15"], ["guard", "lr=1"], ["set", "modle=1"], ["look"]])
def test_words_that_would_change_nothing_are_refused(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["config", *words])
    with pytest.raises(SystemExit) as stop:
        config.main()
    assert stop.value.code == 1
    assert words[-1].split("=")[0] in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
