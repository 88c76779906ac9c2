"""Several services at once, each on its own thread, so that none can slow, hang or end a run.

Failing at the start is an error, before any work is done. Later, a service that raises, or that lets its calls pile
up, is dropped with one printed line; the CSV files in metrics/ are written elsewhere and lose nothing.
"""

import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.core.errors import TrackerError
from src.trackers.isolated import IsolatedService
from src.trackers.protocol import KNOWN_FAILURES, Service, describe_failure

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

# calls that may wait for a slow service; past that it is dropped rather than filling the memory with images
MAX_WAITING = 1000
CLOSE_AFTER_FAILED_START_S = 5.0
# how long a stage waits at its end for what services still have to send
CLOSE_DEADLINE_S = 20.0


class MultiTracker:
    """A `Tracker` that passes every call on to several started services.

    Args:
        services: Started services.
    """

    def __init__(self, services: Sequence[Service]) -> None:
        self._lanes = [_Lane(service) for service in services]

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Reports numbers at a step."""
        self._send("scalars", step, dict(values))

    def images(self, step: int, name: str, images: Sequence["Image.Image"], captions: Sequence[str]) -> None:
        """Reports images at a step."""
        self._send("images", step, name, list(images), list(captions))

    def table(self, name: str, frame: "pd.DataFrame") -> None:
        """Reports a table."""
        self._send("table", name, frame.copy())

    def artifact(self, name: str, path: Path) -> None:
        """Reports a file or folder, which must stay until the end of the run."""
        self._send("artifact", name, path)

    def config(self, values: Mapping[str, Any]) -> None:
        """Reports the configuration."""
        self._send("config", dict(values))

    def close(self, deadline_s: float) -> None:
        """Closes every service at once and waits for all of them together.

        Args:
            deadline_s: The longest wait; a service that needs longer is left behind with one printed line.
        """
        end = time.monotonic() + deadline_s
        self._send("close")
        for lane in self._lanes:
            lane.join(max(0.0, end - time.monotonic()))
            if lane.is_alive():
                if isinstance(lane.service, IsolatedService):
                    lane.service.kill()
                print(f"tracker {lane.service.name}: not done after {deadline_s:g} s; its last reports may be lost")
            elif lane.problem:
                print(f"tracker {lane.service.name}: {lane.problem}; its last reports may be lost")
        self._lanes = []

    def _send(self, method: str, *args: Any) -> None:
        kept = []
        for lane in self._lanes:
            if lane.send(method, args):
                kept.append(lane)
            else:
                print(f"tracker {lane.service.name}: {lane.problem}; it gets no more reports, the run goes on")
        self._lanes = kept


class _Lane(threading.Thread):
    """One service and the calls that wait for it; a daemon, so that a hanging service cannot hold the process."""

    def __init__(self, service: Service) -> None:
        super().__init__(name=f"tracker-{service.name}", daemon=True)
        self.service = service
        self.problem = "stopped by an unexpected error"
        self._calls: queue.Queue[tuple[str, tuple[Any, ...]]] = queue.Queue(MAX_WAITING)
        self.start()

    def send(self, method: str, args: tuple[Any, ...]) -> bool:
        """Queues a call; False when the service is not to get any more, for the reason in `problem`."""
        if not self.is_alive():
            return False
        try:
            self._calls.put_nowait((method, args))
        except queue.Full:
            self.problem = f"{MAX_WAITING} reports wait for it"
            return False
        return True

    def run(self) -> None:
        """Makes the calls in order, until one fails or was the service's close."""
        method = ""
        while method != "close":
            method, args = self._calls.get()
            try:
                getattr(self.service, method)(*args)
            except KNOWN_FAILURES as error:
                self.problem = describe_failure(error)
                return
        self.problem = ""


def start_trackers(services: Sequence[Service], run_name: str, first_step: int) -> MultiTracker:
    """Starts every service; if one cannot start, those already started are closed.

    Args:
        services: Built by Hydra from the group `tracker`; none is fine.
        run_name: What the run is called there.
        first_step: The step at which the run begins: 0, or where it resumes.

    Returns:
        What the run reports to.

    Raises:
        TrackerError: A service cannot be used.
    """
    placed = [IsolatedService(service) if service.remote else service for service in services]
    for index, service in enumerate(placed):
        try:
            service.start(run_name, first_step)
        except TrackerError:
            MultiTracker(placed[:index]).close(CLOSE_AFTER_FAILED_START_S)
            raise
    return MultiTracker(placed)


@contextmanager
def tracked(services: Sequence[Service], run_name: str, first_step: int) -> Iterator[MultiTracker]:
    """Starts every service, and closes them at the end, however that comes.

    Args:
        services: See `start_trackers`.
        run_name: See `start_trackers`.
        first_step: See `start_trackers`.

    Yields:
        What the run reports to.
    """
    tracker = start_trackers(services, run_name, first_step)
    try:
        yield tracker
    finally:
        tracker.close(CLOSE_DEADLINE_S)
