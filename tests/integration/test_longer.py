"""A run that is made longer by its stage: the files of a run of that length, from what is there."""

import shutil
from pathlib import Path

from src.stages import train as stage
from tests.integration.small_project import hashes, succeed
from tests.stages.test_pretraining import Recorder

INTERVALS = ("train.checkpoint_every=2", "train.val_every=2")


def test_a_longer_and_a_shorter_run_leave_what_they_leave_from_the_beginning(spoiled, capsys, monkeypatch):
    shutil.rmtree(spoiled / ".train_state")
    succeed("train", *INTERVALS, "train.steps=3")
    recorder = Recorder(Path("told.log"))
    monkeypatch.setattr(stage, "build_each", lambda *_: [recorder])
    capsys.readouterr()
    succeed("train", *INTERVALS, "train.steps=5")
    said = capsys.readouterr().out
    assert "takes the first 3 of 5 updates from" in said
    assert "resuming after step 3 of 5" in said
    longer = hashes(spoiled)
    assert {path.name for path in (spoiled / "models/adapter").iterdir()} == {
        "step-000002",
        "step-000004",
        "step-000005",
    }
    told = {(step, name): value for step, name, value in recorder.numbers}
    assert {step for step, name in told if name == "train/loss"} == {1, 2, 3, 4, 5}
    assert {step for step, name in told if name == "train/val_loss"} == {0, 2, 4, 5}
    shutil.rmtree(spoiled / ".train_state")
    succeed("train", *INTERVALS, "train.steps=5")
    assert hashes(spoiled) == longer
    succeed("train", *INTERVALS, "train.steps=4")
    shorter = hashes(spoiled)
    assert "takes the first 4 of 4 updates from" in capsys.readouterr().out
    shutil.rmtree(spoiled / ".train_state")
    succeed("train", *INTERVALS, "train.steps=4")
    assert hashes(spoiled) == shorter
