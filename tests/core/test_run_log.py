"""The patterns fit the lines that the project prints."""

import time

from src.core import progress
from src.core.progress import follow
from src.core.run_log import COUNTED


def test_what_follow_prints_is_a_count(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINES_EVERY_S", 0.05)
    list(follow((time.sleep(0.03) or n for n in range(8)), 8, "step-000100", "images"))
    lines = capsys.readouterr().out.splitlines()
    assert lines
    for line in lines:
        found = COUNTED.match(line)
        assert found is not None, line
        assert (found[1], found[3]) == ("step-000100", "8")
        assert found[4].endswith(" left")


def test_a_message_with_numbers_is_no_count():
    assert COUNTED.match("convert: 1 of 1 photos in data/raw cannot be used:") is None
