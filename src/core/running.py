"""Keeps two processes from writing one output, and ends a stage whose DVC has ended (decision 0012)."""

import fcntl
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from src.core.errors import StateLockedError

# DVC needs more than a second to start: an orphan is gone before the next run looks at its outputs
WATCH_EVERY_S = 0.2
# DVC writes this file in place, so that it may be empty for a moment
RWLOCK = Path(".dvc/tmp/rwlock")
RWLOCK_PATIENCE_S = 2.0


@dataclass(frozen=True)
class Lock:
    """A file that one process holds.

    Attributes:
        path: Where it is.
        descriptor: Of the open file; the lock dies with the process, even after kill -9.
    """

    path: Path
    descriptor: int

    def is_ours(self) -> bool:
        """Says whether the file is still the one that this process locked, not one that another made after it."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def check(self) -> None:
        """Refuses to go on when the lock is lost.

        Raises:
            StateLockedError: The file was deleted, and perhaps another process holds a new one.
        """
        if not self.is_ours():
            raise StateLockedError(
                f"{self.path} was deleted while this process held it: another one may be writing, nothing is published"
            )


@contextmanager
def held(path: Path, what: str) -> Iterator[Lock]:
    """Holds a lock file; while another process holds it, says so in one line and waits.

    Args:
        path: The lock file; its parent is made, it is removed at the end.
        what: What it protects, for the line.

    Yields:
        The lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _acquire(path, what)
    try:
        yield lock
    finally:
        if lock.is_ours():
            path.unlink()
        os.close(lock.descriptor)


@contextmanager
def held_output(output: Path) -> Iterator[Lock]:
    """Holds the lock beside an output, so that whoever else would write it waits; see `held`.

    Args:
        output: A file or folder that a stage writes.

    Yields:
        The lock.
    """
    with held(output.parent / f".{output.name}.lock", output.as_posix()) as lock:
        yield lock


def _acquire(path: Path, what: str) -> Lock:
    while True:
        with ExitStack() as unless_kept:
            lock = Lock(path, os.open(path, os.O_RDWR | os.O_CREAT, 0o644))
            unless_kept.callback(os.close, lock.descriptor)
            _wait_for(lock, what)
            # who held it before has removed the file, and a third may hold a new one
            if lock.is_ours():
                _sign(lock)
                unless_kept.pop_all()
                return lock


def _wait_for(lock: Lock, what: str) -> None:
    try:
        fcntl.flock(lock.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock.descriptor, 1000, 0).decode(errors="replace").strip() or "another process"
        print(f"{what}: {holder} is at work on it; waiting until it has ended", flush=True)
        fcntl.flock(lock.descriptor, fcntl.LOCK_EX)


def _sign(lock: Lock) -> None:
    try:
        os.ftruncate(lock.descriptor, 0)
        os.pwrite(lock.descriptor, f"process {os.getpid()} on {os.uname().nodename}\n".encode(), 0)
    except OSError:  # a full disk
        lock.path.unlink()
        raise


def end_with_dvc(stage: str) -> None:
    """Ends this process soon after the DVC that started it has ended, if one did.

    An orphan would write its outputs into those of the next run. Its work is lost as after a kill, so it goes on
    from its state. DVC is known as the ancestor that holds the stage's outputs in `.dvc/tmp/rwlock`.

    Args:
        stage: For the message.
    """
    if "DVC_STAGE" not in os.environ:
        return
    writers = _writers()
    if writers is None:
        return
    threading.Thread(target=_watch, args=(stage, writers & _ancestors()), daemon=True).start()


def _watch(stage: str, dvc: set[int]) -> None:
    while dvc & _ancestors():
        time.sleep(WATCH_EVERY_S)
    try:
        print(f"{stage}: the dvc that started it has ended, so it ends, too; `dvc repro` goes on", file=sys.stderr)
    finally:
        os._exit(1)


def _ancestors() -> set[int]:
    return {process.pid for process in psutil.Process().parents()}


def _writers() -> set[int] | None:
    """Returns the processes of DVC that are writing outputs; None where no DVC keeps that file, or it is damaged."""
    deadline = time.monotonic() + RWLOCK_PATIENCE_S
    while RWLOCK.is_file() and time.monotonic() < deadline:
        try:
            return {int(holder["pid"]) for holder in json.loads(RWLOCK.read_text())["write"].values()}
        except (json.JSONDecodeError, KeyError, FileNotFoundError):
            time.sleep(0.01)
    return None
