"""Locks of outputs, and orphans."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from src.core.errors import StateLockedError
from src.core.running import held, held_output

ROOT = Path(__file__).resolve().parents[2]
PYTHON = [sys.executable, "-c"]


def start(folder, code, **environment):
    paths = {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*PYTHON, code], cwd=folder, env=os.environ | paths | environment, stderr=subprocess.PIPE)


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_second_writer_says_so_once_waits_and_goes_on(tmp_path, capfd):
    order = []

    def second():
        with held_output(tmp_path / "models/adapter"):
            order.append("second")

    with held_output(tmp_path / "models/adapter"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    line = capfd.readouterr().out
    assert line.startswith(f"{tmp_path}/models/adapter: process {os.getpid()} on ")
    assert line.count("\n") == 1
    assert not list((tmp_path / "models").iterdir())


def test_killed_holder_lets_go(tmp_path):
    code = "import time\nfrom pathlib import Path\nfrom src.core.running import held\n"
    code += "with held(Path('lock'), 'x'):\n    Path('has_it').touch(); time.sleep(60)"
    holder = start(tmp_path, code)
    wait_for((tmp_path / "has_it").exists)
    holder.kill()
    holder.wait()
    with held(tmp_path / "lock", "x") as lock:
        lock.check()


def test_lost_lock_is_noticed_before_publishing(tmp_path):
    with held(tmp_path / "lock", "x") as first:
        (tmp_path / "lock").unlink()
        with held(tmp_path / "lock", "x") as second:
            with pytest.raises(StateLockedError, match="nothing is published"):
                first.check()
            second.check()
    assert not list(tmp_path.iterdir())


DVC = """
import json, os, subprocess, sys, time
from pathlib import Path
Path(".dvc/tmp/rwlock").write_text(json.dumps({"write": {"/out": {"pid": WRITER or os.getpid(), "cmd": "dvc"}}}))
subprocess.Popen(["/bin/sh", "-c", "true; " + sys.executable + " stage.py; true"])
time.sleep(2)
"""
STAGE = """
import os, time
from pathlib import Path
from src.core.running import end_with_dvc
end_with_dvc("train")
Path("pid").write_text(str(os.getpid()))
time.sleep(4)
Path("published").touch()
"""


@pytest.mark.parametrize("writer", [0, 2**22 - 1])
def test_orphan_ends_and_publishes_nothing(tmp_path, writer):
    """Its DVC was killed (0), or another one holds the outputs already."""
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / "stage.py").write_text(STAGE)
    dvc = start(tmp_path, DVC.replace("WRITER", str(writer)), DVC_STAGE="train")
    if writer == 0:
        wait_for((tmp_path / "pid").exists)
        time.sleep(0.5)
        assert Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()
        dvc.send_signal(signal.SIGKILL)
    message = dvc.stderr.read().decode()  # ends with the last process that holds it
    dvc.kill()
    dvc.wait()
    assert "the dvc that started it has ended" in message
    assert not (tmp_path / "published").exists()


def test_stage_of_a_living_dvc_goes_on(tmp_path):
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / ".dvc/tmp/rwlock").write_text(json.dumps({"write": {"/out": {"pid": os.getpid(), "cmd": "dvc"}}}))
    stage = start(tmp_path, STAGE.replace("sleep(4)", "sleep(0.6)"), DVC_STAGE="train")
    assert stage.wait() == 0
    assert (tmp_path / "published").exists()
