"""Workers: a call that goes too far ends alone, and the next one finds a worker."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest
from PIL import Image

from src.core.errors import BadPhotoError, WorkerError
from src.core.workers import Limits, Worker

AMPLE = Limits(20, 1 << 30)


def double(number):
    return 2 * number


def die(kind):
    if kind == "refuse":
        raise BadPhotoError("not this one")
    if kind == "disk":
        raise OSError(28, "No space left")
    if kind == "bytes":
        return bytes(1 << 31)
    if kind == "loop":
        while True:
            pass
    os.kill(os.getpid(), signal.SIGSEGV)
    return None


@pytest.fixture(scope="module", autouse=True)
def own_server():
    """A server that began in another test's copy of the project would look for this module there."""
    forkserver._forkserver._stop()


@pytest.fixture
def worker():
    with Worker([__name__]) as worker:
        yield worker


def test_a_worker_runs_one_call_after_another_in_one_process(worker):
    assert [worker.call(AMPLE, double, number) for number in range(3)] == [0, 2, 4]
    assert worker.call(AMPLE, os.getpid) == worker.call(AMPLE, os.getpid) != os.getpid()


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("refuse", BadPhotoError, "not this one"),
        ("disk", OSError, "No space left"),
        ("segv", WorkerError, "crashed .SIGSEGV."),
        ("loop", WorkerError, "more than 1 s of processor time"),
        ("bytes", WorkerError, "more than 1.1 GB of memory"),
    ],
)
def test_a_call_ends_alone(worker, kind, error, words):
    if kind == "bytes" and sys.platform != "linux":
        pytest.skip("the bound on memory is Linux'")
    started = time.monotonic()
    with pytest.raises(error, match=words):
        worker.call(Limits(1 if kind == "loop" else 20, 1 << 30), die, kind)
    assert time.monotonic() - started < 60
    assert worker.call(AMPLE, double, 4) == 8


def test_a_stage_starts_its_processes_without_a_warning(tmp_path):
    (tmp_path / "data/raw").mkdir(parents=True)
    Image.effect_noise((64, 64), 50).convert("RGB").save(tmp_path / "data/raw/IMG_1.png")
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "src.stages.convert"]
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert ended.stdout == "convert: 1 photos, 1 converted, 0 refused, 0 with a warning\n"
    assert ended.stderr == ""
