import os
import platform
import subprocess

import pandas as pd
import pytest

from src.core.errors import EmptyDatasetError
from src.core.files import list_files, replaced_folder, sha256_tree, write_bytes, write_csv, write_json


def test_write_bytes_keeps_the_old_content_when_it_fails(tmp_path, monkeypatch):
    file = tmp_path / "a.txt"
    write_bytes(file, b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_bytes(file, b"new")
    assert file.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_replaced_folder_keeps_the_old_folder_on_an_error(tmp_path):
    target = tmp_path / "out"
    with replaced_folder(target) as folder:
        (folder / "old").touch()

    def failing():
        with replaced_folder(target) as folder:
            (folder / "new").touch()
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        failing()
    assert [p.name for p in target.iterdir()] == ["old"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_replaced_folder_drops_what_was_there(tmp_path):
    for name in ("old", "new"):
        with replaced_folder(tmp_path / "out") as folder:
            (folder / name).touch()
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["new"]


def test_write_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_write_csv_keeps_floats_exact(tmp_path):
    value = 0.1 + 0.2
    write_csv(tmp_path / "a.csv", pd.DataFrame({"x": [value]}))
    assert pd.read_csv(tmp_path / "a.csv", float_precision="round_trip")["x"][0] == value


def test_sha256_tree_sees_names_and_contents(tmp_path):
    (tmp_path / "a").write_text("1")
    first = sha256_tree(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = sha256_tree(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({first, renamed, sha256_tree(tmp_path)}) == 3


def test_list_files_is_sorted_and_never_empty(tmp_path):
    for name in ("b.png", "a.png", "c.txt"):
        (tmp_path / name).touch()
    assert [p.name for p in list_files(tmp_path, ".png")] == ["a.png", "b.png"]
    with pytest.raises(EmptyDatasetError, match=r"\.jpg"):
        list_files(tmp_path, ".jpg")
    with pytest.raises(EmptyDatasetError, match="missing"):
        list_files(tmp_path / "missing", ".png")


def leftover(folder, process, suffix=""):
    path = folder / f".out.{platform.node()}.{process}.abcdefgh{suffix}"
    path.mkdir()
    (path / "half").touch()
    return path


@pytest.fixture
def dead_process():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_replaced_folder_removes_only_what_dead_processes_left(tmp_path, dead_process):
    dead, other, mine = (
        leftover(tmp_path, dead_process),
        tmp_path / f".output.{platform.node()}.{dead_process}.abcdefgh",
        leftover(tmp_path, os.getpid()),
    )
    elsewhere = tmp_path / f".out.another-machine.{dead_process}.abcdefgh"
    for folder in (other, elsewhere):
        folder.mkdir()
    with replaced_folder(tmp_path / "out") as folder:
        assert [path.exists() for path in (dead, other, mine, elsewhere, folder)] == [False, True, True, True, True]


def test_replaced_folder_undoes_a_kill_between_its_renames(tmp_path, dead_process):
    leftover(tmp_path, dead_process, ".old")
    leftover(tmp_path, dead_process)
    with pytest.raises(ValueError, match="stop"), replaced_folder(tmp_path / "out"):
        raise ValueError("stop")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["half"]
