"""Runs calls in processes of their own, so that one that takes too much time or memory, or crashes, ends alone."""

import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Self, TypeVar

import psutil

from src.core.errors import PipelineError, WorkerError

T = TypeVar("T")


def usable_cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Limits:
    """What one call may take: processor time and address space (the latter where the system is Linux)."""

    seconds: float
    memory_bytes: int


class Worker:
    """A process that runs one call after another, for one thread; a new one takes the place of one that died.

    Args:
        preload: The modules that calls need, loaded once and not in each process; never the program's own, which
            Python would warn of.
    """

    def __init__(self, preload: Sequence[str]) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    def call(self, limits: Limits, function: Callable[..., T], *arguments: Any) -> T:
        """Runs a function of a module; paths must be absolute.

        Args:
            limits: What it may take.
            function: What to run; it raises nothing but errors of the pipeline and of the disk.
            *arguments: For it.

        Returns:
            What it returns.

        Raises:
            WorkerError: It took more than it may, or crashed.
        """
        if self._connection is None:
            self._start()
        assert self._connection is not None
        try:
            self._connection.send((limits, function, arguments))
            succeeded, value = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise WorkerError(self._cause_of_death(limits)) from error
        if not succeeded:
            raise value
        return value

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _start(self) -> None:
        self._connection, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def _end(self) -> int | None:
        if self._connection is None or self._process is None:
            return None
        self._connection.close()
        self._process.join()
        status = self._process.exitcode
        self._process = self._connection = None
        return status

    def _cause_of_death(self, limits: Limits) -> str:
        status = self._end() or 0
        if status == -signal.SIGXCPU:
            return f"takes more than {limits.seconds:z.0f} s of processor time"
        reason = signal.Signals(-status).name if status < 0 else f"status {status}"
        return f"its decoder crashed ({reason})"


def _serve(connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the stage ends its workers
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    while True:
        try:
            limits, function, arguments = connection.recv()
            _set(limits)
            try:
                answer = True, function(*arguments)
            except (PipelineError, OSError) as error:
                answer = False, error
            except MemoryError:
                answer = False, WorkerError(f"takes more than {limits.memory_bytes / 1e9:z.1f} GB of memory")
            connection.send(answer)
        except (EOFError, ConnectionError):  # the stage has ended
            return


def _set(limits: Limits) -> None:
    used = time.process_time()
    _lower(resource.RLIMIT_CPU, int(used + limits.seconds) + 1)
    if sys.platform == "linux":
        _lower(resource.RLIMIT_AS, psutil.Process().memory_info().vms + limits.memory_bytes)


def _lower(kind: int, soft: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
