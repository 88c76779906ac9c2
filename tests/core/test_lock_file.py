import sys

import pytest

from src.commands import compare
from src.core.errors import ConfigError
from src.core.lock_file import check_lock


@pytest.mark.parametrize("content", ["", "\n", "schema: '2.0'\nstages: [", "\0" * 9, "- a\n"])
def test_a_damaged_lock_file_says_what_mends_it(tmp_path, content, monkeypatch, capsys):
    (tmp_path / "dvc.lock").write_text(content)
    with pytest.raises(ConfigError, match=r"dvc\.lock is empty or cut: `make mend` brings back"):
        check_lock(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["compare", "HEAD", "workspace"])
    with pytest.raises(SystemExit, match="1"):
        compare.main()
    assert capsys.readouterr().err == "compare: dvc.lock is empty or cut: `make mend` brings back the committed one\n"


def test_a_whole_one_and_none_pass(tmp_path):
    check_lock(tmp_path)
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\n")
    check_lock(tmp_path)
