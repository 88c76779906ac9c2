"""What lies on the disk, and what is deleted: never more than was said, never under a running training."""

import sys

import pytest

from src.commands import disk
from src.core.errors import StateLockedError
from src.training.state import StateFolder


@pytest.fixture
def project(tmp_path, monkeypatch):
    for place in disk.PLACES:
        path = tmp_path / place.path
        if path.suffix == ".csv":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * 1000)
        else:
            (path / "deep").mkdir(parents=True, exist_ok=True)
            (path / "deep/file").write_bytes(b"x" * 1000)
    (tmp_path / "metrics/.gitignore").write_text("/scores.csv\n")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/config.yaml").write_text("lr: 1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["disk", *words])
    disk.main()


def files(project):
    return {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}


def test_show_counts_every_byte_once(project, monkeypatch, capsys):
    (project / "data/raw/deep/big").write_bytes(b"x" * 5_000_000)
    run(monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["5.0", "MB", "data/raw"]
    assert lines[-1].split() == ["5.0", "MB", "in", "all"]
    assert len(lines) == len(disk.PLACES) + 1


def test_clean_states_deletes_what_only_saves_time(project, monkeypatch):
    before = files(project)
    run(monkeypatch, "clean-states")
    assert before - files(project) == {".train_state/deep/file", ".cache/deep/file"}


def test_forget_leaves_nothing_of_the_subject_and_all_else(project, monkeypatch, capsys):
    run(monkeypatch, "forget", "--yes")
    kept = {
        f"{name}/deep/file"
        for name in ("models/metric_models", "models/tabletop", "models/u2netp", "data/class_images")
    }
    assert files(project) == kept | {"metrics/.gitignore", "configs/config.yaml"}
    assert "dvc gc" in capsys.readouterr().out


def test_forget_wants_to_be_meant(project, monkeypatch, capsys):
    before = files(project)
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, "forget")
    assert files(project) == before
    assert "data/raw" in capsys.readouterr().err


def test_nothing_is_deleted_under_a_running_training(project):
    before = files(project)
    with StateFolder(project / ".train_state/abc").locked(), pytest.raises(StateLockedError, match="abc"):
        disk.remove(project, disk.PLACES)
    assert before <= files(project)
