"""The run beside the page: one at a time, found again, stopped, gone on with."""

import sys
import time
from pathlib import Path

import pytest
import yaml

from src.core.errors import StateLockedError
from src.ui.pipeline import Pipeline, read_progress, stage_names
from src.ui.running import curve_svg

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("convert", "train", "report")
LOG = """\
Stage 'convert' didn't change, skipping
Running stage 'train':
> python train.py exp.config_path=params.yaml exp.run_dir=.
resuming after step 50 of 300
step 100/300: held-out loss 0.12500
step 150/300: held-out loss 0.11000
"""
# says that it works, then works until it is interrupted, and says that, too
WORKS = """
import signal, sys, time
print("Running stage 'train':", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("train: interrupted", flush=True)
    sys.exit(130)
"""


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def pipeline(tmp_path, code):
    return Pipeline([sys.executable, "-c", code], tmp_path / "run", STAGES)


def test_progress_is_read_from_the_log():
    found = read_progress(LOG, STAGES, "running")
    assert found.stages == {"convert": "unchanged", "train": "running", "report": "waiting"}
    assert (found.done, found.total, found.steps, found.losses) == (150, 300, 300, {100: 0.125, 150: 0.11})
    more = read_progress(LOG + "Running stage 'report':\nreport: 3 of 9, 2.0 photos/s, 00:03 left\n", STAGES, "running")
    assert more.stages == {"convert": "unchanged", "train": "done", "report": "running"}
    assert (more.done, more.total, more.left, more.steps) == (3, 9, "2.0 photos/s, 00:03 left", 300)
    ended = read_progress(LOG + "ERROR: failed to reproduce 'train'\n", STAGES, "failed")
    assert ended.stages["train"] == "failed"
    assert ended.tail[-1] == "ERROR: failed to reproduce 'train'"
    assert len(read_progress("a line\n" * 500, STAGES, "running").tail) == 40


def test_the_lines_are_those_that_the_project_prints():
    """Their form is taken from where it is printed, so that another wording is noticed."""
    loop = (ROOT / "src/training/loop.py").read_text()
    assert 'say(f"step {done}/{run.plan.steps}: held-out loss {row[' in loop
    assert 'print(f"resuming after step {saved.step} of {run.plan.steps}")' in loop
    assert '"{desc}: {n_fmt} of {total_fmt}, ' in (ROOT / "src/core/progress.py").read_text()


def test_the_stages_are_those_of_dvc_yaml():
    assert stage_names(ROOT / "dvc.yaml") == list(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])


def test_a_second_start_is_refused_and_a_reload_finds_the_run_again(tmp_path):
    first = pipeline(tmp_path, WORKS)
    assert first.state().kind == "none"
    first.start()
    wait_for(lambda: first.state().progress.stages["train"] == "running")
    again = pipeline(tmp_path, WORKS)
    assert again.state().kind == "running"
    for one in (first, again):
        with pytest.raises(StateLockedError, match="under way already"):
            one.start()
        with pytest.raises(StateLockedError, match="under way already"):
            one.check_free()
    again.stop()
    wait_for(lambda: first.state().kind != "running")
    state = first.state()
    assert (state.kind, state.progress.stages["train"]) == ("stopped", "stopped")
    assert state.progress.tail[-1] == "train: interrupted"
    assert pipeline(tmp_path, WORKS).state() == state
    with pytest.raises(StateLockedError, match="no run"):
        again.stop()


def test_a_stopped_run_goes_on_by_the_same_start(tmp_path):
    once = pipeline(tmp_path, WORKS)
    once.start()
    wait_for(lambda: once.state().progress.stages["train"] == "running")
    once.stop(now=True)
    wait_for(lambda: once.state().kind == "stopped")
    ends = pipeline(tmp_path, "print(\"Running stage 'train':\")")
    ends.start()
    wait_for(lambda: ends.state().kind == "done")
    assert ends.state().progress.stages["train"] == "done"


def test_a_run_that_ends_while_it_is_stopped_is_no_crash(tmp_path, monkeypatch):
    once = pipeline(tmp_path, WORKS)
    once.start()
    wait_for(lambda: once.state().progress.stages["train"] == "running")

    def refuse(_group, _signal):
        raise ProcessLookupError

    monkeypatch.setattr("os.killpg", refuse)
    with pytest.raises(StateLockedError, match="ended by itself"):
        once.stop()
    monkeypatch.undo()
    once.stop(now=True)
    wait_for(lambda: once.state().kind == "stopped")


def test_a_run_that_fails_says_so(tmp_path):
    fails = pipeline(tmp_path, "import sys; print(\"Running stage 'train':\"); print('train: why'); sys.exit(1)")
    fails.start()
    wait_for(lambda: fails.state().kind != "running")
    state = fails.state()
    assert (state.kind, state.progress.stages["train"], state.progress.tail[-1]) == ("failed", "failed", "train: why")


def test_the_curve_shows_every_loss():
    drawn = curve_svg({50: 0.5, 100: 0.25, 150: 0.3}, 300)
    assert drawn.count("<circle") == 3
    assert "0.5000" in drawn
    assert "0.2500" in drawn
    assert "step 0 to 300" in drawn
    assert "nan" not in curve_svg({1: 0.5, 2: 0.5}, 0)
