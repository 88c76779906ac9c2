"""Services that behave badly on purpose; importable, so that a child process can have them too."""

import os
import time
from pathlib import Path


class FakeService:
    """Appends what it is told to a file; misbehaves in one method."""

    def __init__(self, log: Path, name="fake", remote=False, raises_in="", error=ValueError, hangs_in=""):
        self.log, self.name, self.remote = log, name, remote
        self.raises_in, self.error, self.hangs_in = raises_in, error, hangs_in

    def _do(self, method, *args):
        with self.log.open("a") as stream:
            stream.write(f"{self.name} {method} {' '.join(str(arg) for arg in args)} pid={os.getpid()}\n")
        if method == self.raises_in:
            raise self.error(f"{method} failed\non purpose")
        if method == self.hangs_in:
            time.sleep(600)

    def start(self, run_name, first_step):
        self._do("start", run_name, first_step)

    def scalars(self, step, values):
        self._do("scalars", step, values)

    def images(self, step, name, images, captions):
        self._do("images", step, name, [image.size for image in images], captions)

    def table(self, name, frame):
        self._do("table", name, frame.shape)

    def artifact(self, name, path):
        self._do("artifact", name, path)

    def config(self, values):
        self._do("config", values)

    def close(self):
        self._do("close")

    def calls(self):
        """Returns the names of the calls so far."""
        return [line.split()[1] for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def pid(self):
        """Returns the process that made the latest call."""
        return int(self.log.read_text().rsplit("pid=", 1)[1])
