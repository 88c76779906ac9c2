"""Removes what a kill or a full disk leaves surely broken, and names it: `make mend`.

DVC writes `rwlock` and `dvc.lock` in place, Python may cut a `.pyc` when the disk is full, and git leaves its `.lock`
files: after that `dvc repro`, `python` or `git` refuse for ever. Nothing that holds a result is touched, but for a
damaged `dvc.lock` or `*.dvc`, which comes back as it was committed. Runs without DVC, and with every `.pyc` damaged:
`python3 -B -X pycache_prefix=/nowhere -m src.commands.mend`.
"""

import importlib.util
import json
import marshal
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from src.commands.usage import command_line
from src.core import layout
from src.core.files import write_bytes
from src.core.lock_file import LOCK, is_mapping

# DVC writes its files in place: one that is damaged now may be whole in a moment
PATIENCE_S = 1.0
# 16 bytes: magic number, flags, and time and size of the source, or its hash (PEP 552); Python sees to shorter ones
PYC_HEADER = 16
SOURCES = ("src", "tests", "benchmarks", "hydra_plugins")
RWLOCKS = (".dvc/tmp/rwlock", ".dvc/tmp/exps/rwlock")
COPIES = ".dvc/tmp/exps/standalone/tmp*"


def mend(root: Path, packages: list[Path]) -> list[str]:
    """Mends a working copy.

    Args:
        root: The repository.
        packages: Folders with installed packages.

    Returns:
        A line for each thing that was broken.
    """
    return [
        *(_remove(file, "empty or cut") for file in _damaged([root / name for name in RWLOCKS], _is_json)),
        *(_restore(root, file) for file in _damaged(_lock_files(root), is_mapping)),
        *(_remove(file, "cut") for file in _damaged_bytecode([*(root / name for name in SOURCES), *packages])),
        *_abandoned(root),
    ]


def _damaged(files: list[Path], is_whole: Callable[[bytes], bool]) -> list[Path]:
    suspects = [file for file in files if file.is_file() and not is_whole(file.read_bytes())]
    if suspects:
        time.sleep(PATIENCE_S)
    return [file for file in suspects if file.is_file() and not is_whole(file.read_bytes())]


def _is_json(data: bytes) -> bool:
    try:
        return isinstance(json.loads(data), dict)
    except ValueError:
        return False


def _lock_files(root: Path) -> list[Path]:
    return [
        root / LOCK,
        root / layout.WORLD_PIPELINE / LOCK,
        root / layout.SUBJECTS / LOCK,
        *sorted((root / layout.DATA).glob("*.dvc")),
        *(root / layout.MODELS).glob("*.dvc"),
    ]


def _damaged_bytecode(folders: list[Path]) -> Iterator[Path]:
    """Finds files of bytecode that this Python would take for whole and cannot read."""
    for folder in folders:
        for file in sorted(folder.rglob(f"__pycache__/*{sys.implementation.cache_tag}*.pyc")):
            data = file.read_bytes()
            if len(data) >= PYC_HEADER and data.startswith(importlib.util.MAGIC_NUMBER):
                try:
                    marshal.loads(data[PYC_HEADER:])
                except (EOFError, ValueError, TypeError):
                    yield file


def _abandoned(root: Path) -> Iterator[str]:
    """Removes git's lock files and DVC's temporary copies, when no git or DVC is there to which they belong."""
    locks = [*root.glob(".git/*.lock"), *root.glob(".git/refs/**/*.lock")]
    copies = list(root.glob(COPIES))
    if not locks + copies:
        return
    running = _running(root)
    for path in sorted(locks + copies):
        name = path.relative_to(root)
        if running is None:
            yield f"{name}: left alone; if no git and no dvc is at work here, delete it"
        elif running:
            yield f"{name}: left alone, it may belong to process {', '.join(map(str, running))}"
        else:
            yield _remove(path, "left by a process that has ended")


def _running(root: Path) -> list[int] | None:
    """Lists the processes of git and DVC that are at work in the repository; None where that cannot be known."""
    try:
        import psutil
    except ImportError:
        return None
    found = []
    for process in psutil.process_iter():
        try:
            words = [Path(word).name for word in process.cmdline()[:3]]
            inside = Path(process.cwd()).is_relative_to(root.resolve())
        except psutil.Error:
            continue
        if inside and (words[:1] == ["git"] or "dvc" in words):
            found.append(process.pid)
    return found


def _remove(path: Path, why: str) -> str:
    try:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    except OSError as error:
        return f"{path}: {why}, and cannot be removed: {error.strerror}"
    return f"{path}: {why}; removed"


def _restore(root: Path, file: Path) -> str:
    name = file.relative_to(root).as_posix()
    shown = subprocess.run(["git", "show", f"HEAD:{name}"], cwd=root, capture_output=True, check=False)
    if shown.returncode:
        return _remove(file, "empty or cut, and not in the last commit")
    write_bytes(file, shown.stdout)
    return f"{name}: empty or cut; brought back as it was committed"


def main() -> None:
    """Mends the working copy in the current folder."""
    command_line("mend", __doc__).parse_args()
    packages = sorted({Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")})
    print("\n".join(mend(Path.cwd(), packages)) or "mend: nothing is broken")


if __name__ == "__main__":
    main()
