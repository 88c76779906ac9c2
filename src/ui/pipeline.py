"""Runs `dvc repro` beside the page: one at a time, found again after a reload or another start of the page.

The run holds a lock for as long as it lives, whoever started it: its shell inherits the file. What it printed is its
log; its progress is read from there.
"""

import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from src.core import layout
from src.core.config_errors import load_yaml
from src.core.errors import StateLockedError
from src.core.run_log import COUNTED, STARTED, UNCHANGED

REPRO = (sys.executable, "-m", "dvc", "repro")
# the shell outlives a Ctrl-C of the group, to write down how the command ended
SHELL = 'trap : INT TERM; "$@"; echo $? > "$0"'
UNDER_WAY = "a run is under way already; stop it, or wait until it has ended"
HELD_OUT = re.compile(r"^step (\d+)/(\d+): held-out loss (-?[\d.]+(?:e-?\d+)?)")
RESUMED = re.compile(r"^resuming after step (\d+) of (\d+)")
MAX_LOG_BYTES, TAIL_LINES = 4 << 20, 40


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        stages: ``running``, ``done``, ``unchanged``, ``stopped``, ``failed`` or ``waiting``, by stage, in their order.
        done: Of the stage that runs, steps or photos.
        total: Of them.
        left: Its rate and the time left, as far as it has said.
        losses: Held-out loss by step.
        steps: Of the training, as far as is known.
        tail: The last lines of the log.
    """

    stages: dict[str, str]
    done: int = 0
    total: int = 0
    left: str = ""
    losses: dict[int, float] = field(default_factory=dict)
    steps: int = 0
    tail: tuple[str, ...] = ()


@dataclass(frozen=True)
class State:
    """Of a run.

    Attributes:
        kind: ``none``, ``running``, ``done``, ``stopped`` or ``failed``.
        progress: How far it came.
    """

    kind: str
    progress: Progress


def stage_names(path: Path = Path("dvc.yaml")) -> list[str]:
    """Lists the pipeline's stages in the order of their file."""
    return [str(name) for name in load_yaml(path).stages]


def read_progress(log: str, stages: Sequence[str], kind: str) -> Progress:
    """Reads how far a run is from what it printed.

    Args:
        log: All lines so far.
        stages: In their order.
        kind: Of `State`.

    Returns:
        The progress.
    """
    seen = dict.fromkeys(stages, "waiting")
    current, counted, left, losses, steps = "", (0, 0), "", dict[int, float](), 0
    lines = log.splitlines()
    for line in lines:
        if found := STARTED.search(line) or UNCHANGED.search(line):
            if current:
                seen[current] = "done"
            is_started = bool(STARTED.search(line))
            current, counted, left = found[1] if is_started else "", (0, 0), ""
            seen[found[1]] = "running" if is_started else "unchanged"
        elif loss := HELD_OUT.match(line):
            counted = int(loss[1]), int(loss[2])
            losses[int(loss[1])], steps = float(loss[3]), int(loss[2])
        elif count := RESUMED.match(line):
            counted = int(count[1]), int(count[2])
        elif count := COUNTED.match(line):
            counted, left = (int(count[2]), int(count[3])), count[4]
    if current and kind != "running":
        seen[current] = kind
    return Progress(seen, *counted, left, losses, steps, tuple(lines[-TAIL_LINES:]))


class Pipeline:
    """The run of this project.

    Args:
        command: What is run.
        folder: For the lock, the log and the exit status.
        stages: The names of `dvc.yaml`.
    """

    def __init__(
        self, command: Sequence[str] = REPRO, folder: Path = layout.UI_RUN, stages: Sequence[str] | None = None
    ) -> None:
        self.command = tuple(command)
        self.stages = tuple(stage_names() if stages is None else stages)
        self.log, self._lock, self._status = folder / "log.txt", folder / "lock", folder / "status"
        self._stopped = folder / "stopped"
        self._alone = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, targets: Sequence[str] = ()) -> None:
        """Starts the run, or goes on with a stopped one.

        Args:
            targets: Stages to which it goes; none means all.

        Raises:
            StateLockedError: One is under way.
        """
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with self._alone:
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._status.unlink(missing_ok=True)
                self._stopped.unlink(missing_ok=True)
                self._spawn(descriptor, targets)
            except BlockingIOError as error:
                raise StateLockedError(UNDER_WAY) from error
            finally:
                os.close(descriptor)

    def check_free(self, why: str = UNDER_WAY) -> None:
        """Refuses where a run is under way.

        Args:
            why: What the refusal says.

        Raises:
            StateLockedError: One is.
        """
        if self._group() is not None:
            raise StateLockedError(why)

    def stop(self, now: bool = False) -> None:
        """Interrupts the run as Ctrl-C does; the state stays, and `start` goes on.

        Args:
            now: Asks more firmly, by SIGTERM.

        Raises:
            StateLockedError: None is under way.
        """
        group = self._group()
        if group is None:
            raise StateLockedError("no run is under way")
        self._stopped.touch()
        try:
            os.killpg(group, signal.SIGTERM if now else signal.SIGINT)
        except ProcessLookupError as error:
            raise StateLockedError("the run has just ended by itself") from error

    def state(self) -> State:
        """Says how the run is."""
        if not self.log.is_file():
            return State("none", Progress(dict.fromkeys(self.stages, "waiting")))
        kind = "running" if self._group() is not None else self._ending()
        with self.log.open("rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - MAX_LOG_BYTES))
            text = stream.read().decode(errors="replace").replace("\r", "\n")
        return State(kind, read_progress(text, self.stages, kind))

    def _spawn(self, descriptor: int, targets: Sequence[str]) -> None:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        environment["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), environment["PATH"]))
        with self.log.open("wb") as log:
            self._child = subprocess.Popen(
                ["/bin/sh", "-c", SHELL, str(self._status.absolute()), *self.command, *targets],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=[descriptor],
                start_new_session=True,
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{self._child.pid}\n".encode(), 0)

    def _group(self) -> int | None:
        """Returns the process group of the run that holds the lock, or None."""
        if self._child is not None:
            self._child.poll()
        if not self._lock.is_file():
            return None
        with self._alone, self._lock.open() as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = stream.read().strip()
                return int(text) if text.isdecimal() else None
        return None

    def _ending(self) -> str:
        status = self._status.read_text().strip() if self._status.is_file() else ""
        if status == "0":
            return "done"
        return "stopped" if self._stopped.is_file() or not status else "failed"
