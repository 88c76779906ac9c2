"""Progress and escapes: plain lines without a terminal, and nothing that a terminal would obey."""

import io
import sys
import time

import pytest

from src.core import progress
from src.core.printable import printable
from src.core.progress import follow, say


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_follow_prints_lines_with_count_rate_and_time_left(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINES_EVERY_S", 0.05)
    assert list(follow((time.sleep(0.02) or n for n in range(10)), 10, "crop")) == list(range(10))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 2
    assert all("\r" not in line and line.startswith("crop: ") for line in lines)
    assert " of 10, " in lines[0]
    assert "photos/s, " in lines[0]
    assert lines[0].endswith(" left")


def test_follow_says_nothing_of_what_is_soon_done(capsys):
    assert list(follow(iter("abc"), 3, "crop")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_follow_generates_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", Terminal())
    list(follow(iter("abc"), 3, "crop"))
    assert "3/3" in sys.stderr.getvalue()
    assert capsys.readouterr().out == ""


def test_follow_counts_what_was_done_before(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINES_EVERY_S", 0.05)
    list(follow((time.sleep(0.03) or n for n in range(6, 10)), 10, "train", "steps", 6))
    counts = [int(line.split()[1]) for line in capsys.readouterr().out.splitlines()]
    assert counts
    assert min(counts) > 6


def test_say_leaves_the_bar_below_its_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", Terminal())
    for number in follow(range(2), 2, "train", "steps"):
        say(f"step {number}")
    assert capsys.readouterr().out == "step 0\nstep 1\n"
    assert sys.stderr.getvalue().rstrip("\r\n").split("\r")[-1].startswith("train: 100%")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\u202egpj.exe", r"a\u202egpj.exe"),
        ("\x1b[2J\r\n\t\x9b", r"\x1b[2J\r\n\t\x9b"),
        ("\u2066x\ufeff\u2028", r"\u2066x\ufeff\u2028"),
        ("Ёлка 猫 👩\u200d🚀 é.jpg", "Ёлка 猫 👩\u200d🚀 é.jpg"),
    ],
)
def test_printable_escapes_what_cannot_be_seen(name, shown):
    assert printable(name) == shown
