"""Fan-out over services, in this process and in processes of their own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from src.core.errors import TrackerError
from src.trackers.multi import start_trackers
from tests.trackers.fakes import FakeService

ALL_CALLS = ["start", "config", "scalars", "images", "table", "artifact", "close"]


def report_everything(tracker):
    tracker.config({"lr": 1e-4})
    tracker.scalars(1, {"train/loss": 0.5})
    tracker.images(1, "samples", [Image.new("RGB", (4, 4))], ["a toy"])
    tracker.table("metrics", pd.DataFrame({"a": [1, 2]}))
    tracker.artifact("adapter", Path("models/adapter"))


def wait_for(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "waited 10 s in vain"
        time.sleep(0.01)


def is_running(pid):
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


@pytest.mark.parametrize("remote", [False, True])
def test_start_trackers_passes_every_call_to_every_service_in_order(tmp_path, remote):
    services = [FakeService(tmp_path / name, name, remote) for name in "ab"]
    tracker = start_trackers(services, "run", 0)
    report_everything(tracker)
    tracker.close(20)
    assert [service.calls() for service in services] == [ALL_CALLS, ALL_CALLS]
    assert (services[0].pid() != os.getpid()) is remote


def test_start_trackers_without_services_takes_every_call():
    tracker = start_trackers([], "run", 0)
    report_everything(tracker)
    tracker.close(0)


@pytest.mark.parametrize("remote", [False, True])
def test_service_that_cannot_start_is_an_error_and_closes_those_before(tmp_path, remote):
    good = FakeService(tmp_path / "good", "good", remote)
    bad = FakeService(tmp_path / "bad", "bad", remote, raises_in="start", error=TrackerError)
    with pytest.raises(TrackerError, match="start failed"):
        start_trackers([good, bad], "run", 0)
    assert good.calls() == ["start", "close"]
    wait_for(lambda: not remote or not is_running(bad.pid()))


@pytest.mark.parametrize("remote", [False, True])
def test_service_that_raises_is_dropped_with_one_line_and_others_go_on(tmp_path, capsys, remote):
    bad = FakeService(tmp_path / "bad", "bad", remote, raises_in="scalars")
    good = FakeService(tmp_path / "good", "good", remote)
    tracker = start_trackers([bad, good], "run", 0)
    for step in range(3):
        tracker.scalars(step, {"loss": 1.0})
        wait_for(lambda: bad.calls() == ["start", "scalars"])
        time.sleep(0.3)
    tracker.close(20)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1
    assert "bad" in printed[0]
    assert "ValueError: scalars failed on purpose" in printed[0]
    assert bad.calls() == ["start", "scalars"]
    assert good.calls() == ["start", *["scalars"] * 3, "close"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("remote", [False, True])
def test_bug_in_a_service_does_not_end_the_run(tmp_path, capfd, remote):
    bad = FakeService(tmp_path / "bad", "bad", remote, raises_in="scalars", error=ZeroDivisionError)
    tracker = start_trackers([bad], "run", 0)
    tracker.scalars(0, {"loss": 1.0})
    tracker.close(20)
    assert capfd.readouterr().out.count("tracker bad: ") == 1


@pytest.mark.parametrize("remote", [False, True])
def test_service_that_hangs_neither_blocks_reports_nor_outlasts_the_deadline(tmp_path, capsys, remote):
    bad = FakeService(tmp_path / "bad", "bad", remote, hangs_in="scalars")
    tracker = start_trackers([bad], "run", 0)
    began = time.monotonic()
    for step in range(100):
        tracker.scalars(step, {"loss": 1.0})
    assert time.monotonic() - began < 1
    wait_for(lambda: bad.calls() == ["start", "scalars"])
    tracker.close(0.5)
    assert time.monotonic() - began < 5
    assert capsys.readouterr().out.count("tracker bad: not done after 0.5 s") == 1
    wait_for(lambda: not remote or not is_running(bad.pid()))


def test_service_whose_reports_pile_up_is_dropped(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("src.trackers.multi.MAX_WAITING", 5)
    bad = FakeService(tmp_path / "bad", "bad", hangs_in="scalars")
    tracker = start_trackers([bad], "run", 0)
    for step in range(20):
        tracker.scalars(step, {"loss": 1.0})
    assert capsys.readouterr().out.count("tracker bad: 5 reports wait for it") == 1


def test_isolated_service_ends_when_the_run_is_killed(tmp_path):
    program = (
        "import sys, time; from pathlib import Path\n"
        "from src.trackers.multi import start_trackers; from tests.trackers.fakes import FakeService\n"
        "start_trackers([FakeService(Path(sys.argv[1]), 'fake', True, hangs_in='scalars')], 'run', 0).scalars(0, {})\n"
        "time.sleep(600)\n"
    )
    fake = FakeService(tmp_path / "log")
    run = subprocess.Popen([sys.executable, "-c", program, str(fake.log)])
    wait_for(lambda: fake.calls() == ["start", "scalars"])
    run.send_signal(signal.SIGKILL)
    run.wait()
    wait_for(lambda: not is_running(fake.pid()))
