"""Runs a service's client in a process of its own.

The ClearML client, when its server dies, hangs in close, in its exit hooks and in its SIGTERM handler, for hours; it
also replaces sys.exit and sys.excepthook. In a process of its own it can be killed at a deadline, and the training
process stays as it was. `python -m src.trackers.isolated` is that process: calls come in on stdin, what they raised
goes back on stdout, one reply for each.
"""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from src.core.errors import TrackerError
from src.trackers.protocol import KNOWN_FAILURES, Service, describe_failure

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 60.0


class IsolatedService:
    """A `Service` that passes each call on to another one in a child process.

    Args:
        service: Built, not started, and such that pickle takes it.
    """

    def __init__(self, service: Service) -> None:
        self.name, self.remote = service.name, service.remote
        self._service = service

    def start(self, run_name: str, first_step: int) -> None:
        """Starts the process and the service in it.

        Args:
            run_name: What the run is called there.
            first_step: The step at which the run begins.

        Raises:
            TrackerError: The service cannot be used, or does not start within `START_LIMIT_S` seconds.
        """
        path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "src.trackers.isolated"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is the run's to handle, which then closes the service
        )
        timer = threading.Timer(START_LIMIT_S, self.kill)
        timer.start()
        try:
            self._exchange((self._service, sys.argv))
            self._exchange(("start", (run_name, first_step)))
        finally:
            timer.cancel()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Passes the call on."""
        self._exchange(("scalars", (step, values)))

    def images(self, step: int, name: str, images: Sequence["Image.Image"], captions: Sequence[str]) -> None:
        """Passes the call on."""
        self._exchange(("images", (step, name, images, captions)))

    def table(self, name: str, frame: "pd.DataFrame") -> None:
        """Passes the call on."""
        self._exchange(("table", (name, frame)))

    def artifact(self, name: str, path: Path) -> None:
        """Passes the call on."""
        self._exchange(("artifact", (name, path.resolve())))

    def config(self, values: Mapping[str, Any]) -> None:
        """Passes the call on."""
        self._exchange(("config", (values,)))

    def close(self) -> None:
        """Passes the call on and waits for the process to end."""
        self._exchange(("close", ()))
        self._process.wait()

    def kill(self) -> None:
        """Ends the process, and what it may have started, at once, whatever is lost."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _exchange(self, message: tuple[Any, Any]) -> None:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            pickle.dump(message, process.stdin)
            process.stdin.flush()
            failure = pickle.load(process.stdout)
        except (EOFError, BrokenPipeError) as error:
            self.kill()
            raise TrackerError(f"{self.name}: its process ended with status {process.wait()}") from error
        if failure:
            self.kill()
            raise TrackerError(failure)


def serve(calls: IO[bytes], replies: IO[bytes]) -> None:
    """Makes the calls that come in, until close or one that fails.

    Args:
        calls: A pickled (service, command line), then pickled (method, arguments).
        replies: Gets a pickled string for each: what went wrong, or nothing.
    """
    service, sys.argv = pickle.load(calls)  # the service's own view of what runs is the run's command line
    inbox: queue.SimpleQueue[tuple[str, tuple[Any, ...]]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(calls, inbox), daemon=True).start()
    failure = method = ""
    while True:
        pickle.dump(failure, replies)
        replies.flush()
        if failure or method == "close":
            return
        method, args = inbox.get()
        try:
            getattr(service, method)(*args)
        except KNOWN_FAILURES as error:
            failure = describe_failure(error)


def _read(calls: IO[bytes], inbox: queue.SimpleQueue[tuple[str, tuple[Any, ...]]]) -> None:
    while True:
        try:
            inbox.put(pickle.load(calls))
        except EOFError:  # the run ended without a close: nobody is left to report for
            os._exit(1)


def _exit_after_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.__excepthook__(kind, error, trace)
    os._exit(1)


def main() -> None:
    """Serves on stdin and stdout; what the client prints goes to stderr. Exits without the client's exit hooks."""
    sys.excepthook = _exit_after_bug
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, replies)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
