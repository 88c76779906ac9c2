"""The real W&B client where it is installed; offline only, for it needs an account otherwise."""

import importlib.util
import subprocess
import sys

import pandas as pd
import pytest
from PIL import Image

from src.core.errors import TrackerError
from src.trackers.multi import start_trackers
from src.trackers.wandb import WandbTracker

INSTALLED = importlib.util.find_spec("wandb") is not None


@pytest.mark.skipif(INSTALLED, reason="wandb is installed")
def test_wandb_without_the_package_names_the_command(tmp_path):
    with pytest.raises(TrackerError, match="uv pip install wandb"):
        start_trackers([WandbTracker("project", True, str(tmp_path))], "run", 0)


@pytest.mark.skipif(not INSTALLED, reason="wandb is not installed")
def test_wandb_offline_run_holds_scalars_images_and_tables(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    tracker = start_trackers([WandbTracker("project", True, str(tmp_path / "logs"))], "run", 0)
    tracker.config({"lr": 0.125})
    tracker.scalars(7, {"train/loss": 0.5})
    tracker.images(7, "samples", [Image.new("RGB", (8, 8), "red")], ["a toy"])
    tracker.table("metrics", pd.DataFrame({"metric": ["dino"]}))
    tracker.close(60)
    (run,) = (tmp_path / "logs" / "wandb").glob("offline-run-*")
    assert list(run.glob("*.wandb"))
    assert list(run.glob("files/media/images/samples*.png"))
    assert list(run.glob("files/media/table/metrics*.json"))


@pytest.mark.skipif(not INSTALLED, reason="wandb is not installed")
def test_wandb_with_nobody_listening_fails_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(TrackerError, match=r"no answer from http://127\.0\.0\.1:9"):
        start_trackers([WandbTracker("project", False, str(tmp_path))], "run", 0)


@pytest.mark.skipif(not INSTALLED, reason="wandb is not installed")
def test_wandb_offline_run_says_nothing_of_the_machine(tmp_path, monkeypatch):
    repository = tmp_path / "planted_folder"
    repository.mkdir()
    address = "https://planted_user:planted_secret@planted_host.example/planted_repository.git"
    for words in (["init", "-q"], ["remote", "add", "origin", address]):
        subprocess.run(["git", *words], cwd=repository, check=True)
    monkeypatch.chdir(repository)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(repository / "planted_program.py"), "lr=1"])
    tracker = start_trackers([WandbTracker("project", True, str(tmp_path / "logs"))], "run", 0)
    tracker.config({"lr": 0.125, "token": "sksToy"})
    tracker.close(60)
    (run,) = (tmp_path / "logs" / "wandb").glob("offline-run-*")
    sent = [path for path in run.rglob("*") if path.is_file() and path.suffix != ".log"]
    content = b"\n".join(path.read_bytes() for path in sent)
    assert b"sksToy" in content
    assert b"planted" not in content
    assert str(tmp_path).encode() not in content
    assert not [path for path in sent if path.name in ("requirements.txt", "wandb-metadata.json")]
