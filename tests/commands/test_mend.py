"""What a kill or a full disk leaves broken is named and mended; what is whole stays."""

import importlib.util
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from src.commands import mend as module
from src.commands.mend import mend

ROOT = Path(__file__).resolve().parents[2]
LOCK = "schema: '2.0'\nstages:\n  a:\n    cmd: python s.py\n"


def git(folder, *words):
    who = {f"GIT_{role}_{what}": "t" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", *words], cwd=folder, env=os.environ | who, check=True, capture_output=True)


@pytest.fixture
def copy(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    for name in (".dvc/tmp/exps", "src", "models"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "dvc.lock").write_text(LOCK)
    (tmp_path / "models/tabletop.dvc").write_text("outs:\n- md5: 0\n")
    (tmp_path / ".dvc/tmp/rwlock").write_text("{}")
    (tmp_path / "src/part.py").write_text("A = 'a' * 3\n" * 200)
    py_compile.compile(str(tmp_path / "src/part.py"), doraise=True)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "dvc.lock", "models")
    git(tmp_path, "commit", "-qm", "1")
    return tmp_path


def bytecode(folder):
    return Path(importlib.util.cache_from_source(str(folder / "src/part.py")))


def contents(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_whole_copy_stays_as_it_is(copy):
    before = contents(copy)
    assert mend(copy, []) == []
    assert contents(copy) == before


@pytest.mark.parametrize("name", [".dvc/tmp/rwlock", ".dvc/tmp/exps/rwlock"])
@pytest.mark.parametrize("content", [b"", b'{"write": {"/o": {"pi', b"\0" * 20])
def test_damaged_rwlock_is_removed(copy, name, content):
    (copy / name).write_bytes(content)
    (line,) = mend(copy, [])
    assert name in line
    assert not (copy / name).exists()


@pytest.mark.parametrize("name", ["dvc.lock", "models/tabletop.dvc"])
@pytest.mark.parametrize("content", [b"", b"schema: '2.0'\nstages", b"\0" * 40])
def test_damaged_lock_file_comes_back_as_committed(copy, name, content):
    whole = (copy / name).read_bytes()
    (copy / name).write_bytes(content)
    assert mend(copy, []) == [f"{name}: empty or cut; brought back as it was committed"]
    assert (copy / name).read_bytes() == whole


def test_damaged_lock_file_that_was_never_committed_is_removed(copy):
    git(copy, "rm", "-q", "--cached", "dvc.lock")
    git(copy, "commit", "-qm", "2")
    (copy / "dvc.lock").write_bytes(b"")
    assert "not in the last commit" in mend(copy, [])[0]
    assert not (copy / "dvc.lock").exists()


def test_cut_bytecode_is_removed_and_the_module_loads_again(copy):
    file = bytecode(copy)
    file.write_bytes(file.read_bytes()[:-40])
    load = [sys.executable, "-c", "import src.part"]
    assert b"EOFError" in subprocess.run(load, cwd=copy, stderr=subprocess.PIPE, check=False).stderr
    (line,) = mend(copy, [copy / "src"])[:1]
    assert line == f"{file}: cut; removed"
    subprocess.run(load, cwd=copy, check=True)


def test_locks_of_processes_that_have_ended_are_removed_and_others_stay(copy, monkeypatch):
    (copy / ".git/index.lock").touch()
    (copy / ".dvc/tmp/exps/standalone/tmp12/data").mkdir(parents=True)
    monkeypatch.setattr(module, "_running", lambda _: [41])
    assert [line.split(", ")[1] for line in mend(copy, [])] == ["it may belong to process 41"] * 2
    monkeypatch.undo()
    editor = subprocess.Popen(["git", "cat-file", "--batch"], cwd=copy, stdin=subprocess.PIPE)
    try:
        assert str(editor.pid) in mend(copy, [])[0]
    finally:
        editor.communicate()
    assert len(mend(copy, [])) == 2
    assert not (copy / ".git/index.lock").exists()
    assert not (copy / ".dvc/tmp/exps/standalone/tmp12").exists()


def test_mend_runs_past_its_own_cut_bytecode_and_without_packages(copy):
    stage = ("__init__.py", "commands/__init__.py", "commands/mend.py", "commands/usage.py")
    for name in (*stage, "core/__init__.py", "core/errors.py", "core/layout.py", "core/lock_file.py"):
        (copy / "src" / name).parent.mkdir(exist_ok=True)
        (copy / "src" / name).write_bytes((ROOT / "src" / name).read_bytes())
    (copy / "src/core/files.py").write_bytes((ROOT / "src/core/files.py").read_bytes())
    py_compile.compile(str(copy / "src/commands/mend.py"), doraise=True)
    own = Path(importlib.util.cache_from_source(str(copy / "src/commands/mend.py")))
    own.write_bytes(own.read_bytes()[:200])
    (copy / "dvc.lock").write_bytes(b"")
    # -S: no installed package, so neither DVC nor psutil nor yaml
    command = [sys.executable, "-S", "-B", "-X", "pycache_prefix=/nowhere", "-m", "src.commands.mend"]
    shown = subprocess.run(command, cwd=copy, text=True, stdout=subprocess.PIPE, check=True).stdout
    assert shown == f"dvc.lock: empty or cut; brought back as it was committed\n{own}: cut; removed\n"
    assert "pycache_prefix=/nowhere -m src.commands.mend" in (ROOT / "Makefile").read_text()


def test_the_lock_of_several_subjects_is_mended_too(tmp_path):
    (tmp_path / "subjects").mkdir()
    (tmp_path / "subjects/dvc.lock").write_bytes(b"")
    assert any("subjects/dvc.lock" in line for line in mend(tmp_path, []))
    assert not (tmp_path / "subjects/dvc.lock").exists()
