"""Weights & Biases, or its offline mode."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.core.errors import TrackerError
from src.core.files import work_root
from src.trackers.server import ask_server

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

# no git address, commit or diff, no program, host name, paths, installed packages, hardware
PRIVATE = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "host": "worker",
    "program": "run",
    "save_code": False,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}


class WandbTracker:
    """Reports to Weights & Biases; the key comes from `wandb login` or WANDB_API_KEY.

    Args:
        project: The project on the server.
        offline: Write to `log_dir` for a later `wandb sync`, contact nobody.
        log_dir: Where the client keeps its files; seen from the project's own root.
    """

    def __init__(self, project: str, offline: bool, log_dir: str) -> None:
        self.name, self.remote = "wandb", True
        self._project, self._offline, self._log_dir = project, offline, work_root() / log_dir

    def start(self, run_name: str, first_step: int) -> None:
        """Begins a run.

        Args:
            run_name: Its name.
            first_step: Where its steps begin; kept in the run's notes when it is not 0.

        Raises:
            TrackerError: The package or the key is missing, or the server does not answer or refuses.
        """
        try:
            import wandb
        except ModuleNotFoundError as error:
            raise TrackerError("wandb: the package is missing, install it with `uv pip install wandb`") from error
        self._log_dir.mkdir(parents=True, exist_ok=True)
        try:
            if not self._offline:
                ask_server("wandb", wandb.setup().settings.base_url, True)
                if not wandb.login(prompt=False):
                    raise TrackerError(
                        "wandb: no API key on this machine. Run `wandb login`, or set WANDB_API_KEY, "
                        "or run with tracker.wandb.offline=true"
                    )
            self._run = wandb.init(
                project=self._project,
                name=run_name,
                notes=f"resumed at step {first_step}" if first_step else None,
                dir=os.fspath(self._log_dir),
                mode="offline" if self._offline else "online",
                settings=wandb.Settings(**PRIVATE),
            )
        except wandb.errors.Error as error:
            raise TrackerError(f"wandb: {error}") from error
        self._wandb = wandb
        self._run.define_metric("*", step_metric="step")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to each curve."""
        self._run.log({**values, "step": step})

    def images(self, step: int, name: str, images: Sequence["Image.Image"], captions: Sequence[str]) -> None:
        """Uploads the images as one panel."""
        pairs = zip(images, captions, strict=True)
        panel = [self._wandb.Image(image.convert("RGB"), caption=caption) for image, caption in pairs]
        self._run.log({name: panel, "step": step})

    def table(self, name: str, frame: "pd.DataFrame") -> None:
        """Uploads the table."""
        self._run.log({name: self._wandb.Table(dataframe=frame)})

    def artifact(self, name: str, path: Path) -> None:
        """Uploads a file, or a folder with all in it."""
        self._run.log_artifact(os.fspath(path), name=name, type="output")

    def config(self, values: Mapping[str, Any]) -> None:
        """Attaches the configuration."""
        self._run.config.update(dict(values))

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()
