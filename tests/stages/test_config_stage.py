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


def test_a_folder_or_file_in_the_way_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["config", "write"])
    (tmp_path / "params.yaml").mkdir()
    with pytest.raises(SystemExit, match="1"):
        config.main()
    assert capsys.readouterr().err.startswith("config: a folder, expected a file: ")
    (tmp_path / "params.yaml").rmdir()
    config.main()
    (tmp_path / "data").touch()
    monkeypatch.setattr(sys, "argv", ["config"])
    with pytest.raises(SystemExit, match="1"):
        config.main()
    assert "data" in capsys.readouterr().err.splitlines()[-1]
