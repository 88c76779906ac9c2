"""A run that is made longer by its stage: the files of a run of that length, from what is there."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

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


def test_a_run_begins_with_a_saved_adapter_at_another_rate_and_predicts_what_it_did(spoiled):
    shutil.copytree(spoiled / "models/adapter/step-000001", spoiled / "start")
    ended = pd.read_csv(spoiled / "metrics/train/val_loss.csv")["val_loss"].iloc[-1]
    begins = []
    for rate in ("1e-3", "1e-2"):
        succeed("train", "train.checkpoint_path=start", f"lr={rate}", "train.steps=2")
        begins.append(pd.read_csv(spoiled / "metrics/train/val_loss.csv")["val_loss"].tolist())
    assert begins[0][0] == begins[1][0] == pytest.approx(ended, rel=1e-6)
    assert begins[0][-1] != begins[1][-1]


def test_an_adapter_of_another_base_rank_or_method_is_refused_before_a_model_loads(spoiled, refused, no_model):
    start = spoiled / "start"
    shutil.copytree(spoiled / "models/adapter/step-000001", start)
    from_start = ("train.checkpoint_path=start",)
    assert "start: method.rank is 4, this training has 8" in refused("train", *from_start, "rank=8")
    assert "start: method._target_ is src.methods.lora.LoraMethod" in refused("train", *from_start, "method=dreambooth")
    assert "start: method.use_dora is False" in refused("train", *from_start, "method=dora")
    record = start / "config.yaml"
    text = yaml.safe_load(record.read_text())
    text["model"] |= {"id": "somebody/model", "revision": "abc"}
    record.write_text(yaml.safe_dump(text))
    assert "start: trained on somebody/model (revision abc), not on" in refused("train", *from_start)
    (weights,) = start.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:100])
    assert "not a whole safetensors file" in refused("train", *from_start)
