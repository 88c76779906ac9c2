"""A full disk and a kill: earlier outputs stay whole, and the next run clears away what was begun."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.integration.project import ROOT, environment
from tests.integration.small_project import SMALL, hashes, read_by, succeed


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path, leave: int) -> None:
    room = os.statvfs(disk)
    (disk / "filler").write_bytes(b"\0" * max(0, room.f_bavail * room.f_frsize - leave))


@pytest.mark.parametrize("stage", ["convert", "crop", "split"])
def test_full_disk_leaves_earlier_data(spoiled, refused, small_disk, stage):
    shutil.copytree(spoiled / "data", small_disk / "data")
    shutil.rmtree(spoiled / "data")
    (spoiled / "data").symlink_to(small_disk / "data")
    if stage == "split":
        (spoiled / "data/split.csv").write_text("earlier")
    fill(small_disk, 0)
    words = ["crop.size_px=256"] if stage == "crop" else []
    assert re.fullmatch(rf"{stage}: the disk is full: .*; outputs are as before\n", refused(stage, *words))


@pytest.mark.parametrize("where", ["exp.run_dir", "DVC_ROOT", "logs"])
def test_full_disk_while_training_leaves_the_earlier_adapter(spoiled, refused, small_disk, monkeypatch, where):
    outputs = spoiled
    options = ["lr=2e-4"]
    if where == "exp.run_dir":
        outputs = small_disk
        shutil.copytree(spoiled / "models/adapter", small_disk / "models/adapter")
        options.append(f"exp.run_dir={small_disk}")
    elif where == "DVC_ROOT":
        monkeypatch.setenv("DVC_ROOT", str(small_disk))
    else:
        options += ["tracker=tensorboard", f"tracker.tensorboard.log_dir={small_disk}"]
    before = hashes(outputs)
    fill(small_disk, 0 if where != "DVC_ROOT" else 40_000)
    assert re.fullmatch(r"train: the disk is full: .*; outputs are as before\n", refused("train", *options))
    (small_disk / "filler").unlink()
    assert hashes(outputs) == before


def test_kill_in_the_middle_leaves_the_earlier_folder_and_nothing_after_the_next_run(spoiled):
    for number in range(4, 12):
        pixels = np.random.default_rng(number).integers(0, 255, (2000, 3000, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(spoiled / f"data/raw/IMG_{number:02}.png", compress_level=0)
    before = hashes(spoiled / ".")
    # the choice `tiny` is known in the process of the tests alone
    words = [word for word in read_by("convert", SMALL) if word != "model=tiny"]
    command = [sys.executable, "-m", "src.stages.convert", *words]
    path = {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=spoiled, env=environment() | path)
    while process.poll() is None and not list((spoiled / "data").glob(".images.*/*.png")):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    left = list((spoiled / "data").glob(".images.*.*"))
    assert len(left) == 1
    assert {k: v for k, v in hashes(spoiled).items() if not k.startswith("data/.images.")} == before
    for number in range(4, 12):
        (spoiled / f"data/raw/IMG_{number:02}.png").unlink()
    succeed("convert")
    assert not list((spoiled / "data").glob(".images.*"))
    assert len(list((spoiled / "data/images").glob("*.png"))) == 4
