"""TensorBoard event files are read back with TensorBoard's own reader."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from src.trackers.tensorboard import TensorBoardTracker


def read_back(folder):
    events = EventAccumulator(str(folder))
    return events.Reload()


def started(folder, first_step=0):
    tracker = TensorBoardTracker(str(folder))
    tracker.start("run", first_step)
    return tracker


def test_tensorboard_scalars_come_back(tmp_path):
    tracker = started(tmp_path)
    for step in (0, 5):
        tracker.scalars(step, {"train/loss": step / 2})
    tracker.close()
    points = read_back(tmp_path / "run").Scalars("train/loss")
    assert [(point.step, point.value) for point in points] == [(0, 0.0), (5, 2.5)]


def test_tensorboard_images_come_back_with_captions(tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8))
    tracker = started(tmp_path)
    tracker.images(3, "samples", [image, image], ["a toy", "a toy"])
    tracker.close()
    events = read_back(tmp_path / "run")
    assert sorted(events.Tags()["images"]) == ["samples/00 a toy", "samples/01 a toy"]
    back = Image.open(BytesIO(events.Images("samples/01 a toy")[0].encoded_image_string))
    assert np.array_equal(np.asarray(back), np.asarray(image))


def test_tensorboard_refuses_images_without_captions(tmp_path):
    tracker = started(tmp_path)
    with pytest.raises(ValueError, match="shorter"):
        tracker.images(3, "samples", [Image.new("RGB", (4, 4))], [])
    tracker.close()


def test_tensorboard_texts_hold_table_artifact_and_config(tmp_path):
    tracker = started(tmp_path)
    tracker.table("metrics", pd.DataFrame({"metric": ["dino"], "mean": [0.5]}))
    tracker.artifact("adapter", Path("models/adapter"))
    tracker.config({"lr": 1e-4, "subject": {"token": "sksToy"}})
    tracker.close()
    events = read_back(tmp_path / "run")
    texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in events.Tags()["tensors"]}
    assert "| dino | 0.5 |" in texts["metrics/text_summary"]
    assert texts["artifact/adapter/text_summary"] == "models/adapter"
    assert '"token": "sksToy"' in texts["config/text_summary"]


def test_tensorboard_resumed_run_replaces_the_steps_it_repeats(tmp_path):
    for first_step, loss in ((0, 1.0), (2, 2.0)):
        tracker = started(tmp_path, first_step)
        for step in range(first_step, 4):
            tracker.scalars(step, {"loss": loss})
        tracker.close()
    points = read_back(tmp_path / "run").Scalars("loss")
    assert [(point.step, point.value) for point in points] == [(0, 1.0), (1, 1.0), (2, 2.0), (3, 2.0)]


def test_tensorboard_writes_nothing_before_start(tmp_path):
    TensorBoardTracker(str(tmp_path / "logs"))
    assert not (tmp_path / "logs").exists()


def test_tensorboard_writes_under_the_projects_own_root(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))
    monkeypatch.chdir(tmp_path)
    tracker = TensorBoardTracker("logs/tensorboard")
    tracker.start("run", 0)
    tracker.scalars(0, {"train/loss": 0.5})
    tracker.close()
    assert read_back(tmp_path / "project/logs/tensorboard/run").Scalars("train/loss")
    assert not (tmp_path / "logs").exists()
