"""A ClearML server, or its offline mode."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZipFile

from src.core.errors import TrackerError
from src.trackers.protocol import label_images, split_name
from src.trackers.server import ask_server, without_password

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

HTTP_OK = 200
# what ClearML would otherwise name the machine: its host name
WORKER_ENV, WORKER = "CLEARML_WORKER_NAME", "worker"
# every hook off, one by one: with the plain False, ClearML still looks for git's URL, commit and uncommitted diff
HOOKS: tuple[str, ...] = ("catboost", "fastai", "gradio", "hydra", "joblib", "jsonargparse", "lightgbm", "matplotlib")
HOOKS += ("megengine", "pytorch", "scikit", "tensorboard", "tensorflow", "tfdefines", "xgboost", "detect_repository")


class ClearMLTracker:
    """Reports to a ClearML server; address and keys come from clearml.conf or the environment.

    It tells what is reported here and nothing about the machine: no git, host name, installed packages or paths.

    Args:
        project: The project on the server.
        offline: Write a zip for a later import, contact nobody.
    """

    def __init__(self, project: str, offline: bool) -> None:
        self.name, self.remote = "clearml", True
        self._project, self._offline = project, offline

    def start(self, run_name: str, first_step: int) -> None:
        """Creates a task; ClearML has no rewriting of steps, so a resumed run is a task of its own.

        Args:
            run_name: The task's name.
            first_step: Where the run's steps begin, kept as a tag when it is not 0.

        Raises:
            TrackerError: ClearML is not configured, or the server does not answer or refuses the keys.
        """
        from clearml import Task
        from clearml.backend_api.session.session import LoginError
        from clearml.backend_interface.task import task as internals

        os.environ.setdefault(WORKER_ENV, WORKER)
        internals.make_message = lambda *_, **__: ""  # a comment with the names of person and machine
        # this process already is one for reporting; ClearML's own fork of it would outlive a kill
        Task._report_subprocess_enabled = False
        if self._offline:
            Task.set_offline(True)
        else:
            check_server()
        try:
            self._task: Any = Task.init(
                self._project,
                run_name,
                tags=[f"resumed-at-{first_step}"] if first_step else None,
                reuse_last_task_id=False,
                auto_connect_arg_parser=False,
                auto_connect_frameworks=dict.fromkeys(HOOKS, False),
                auto_resource_monitoring=False,
                auto_connect_streams=False,
            )
        except (LoginError, ValueError) as error:
            raise TrackerError(f"clearml: {error}") from error
        self._logger: Any = self._task.get_logger()
        self._step = first_step

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to each curve."""
        self._step = step
        for key, value in values.items():
            title, series = split_name(key)
            self._logger.report_scalar(title, series, value, step)

    def images(self, step: int, name: str, images: Sequence["Image.Image"], captions: Sequence[str]) -> None:
        """Uploads each image: ClearML takes one at a time, and a list is an error there."""
        self._step = step
        for image, label in zip(images, label_images(captions), strict=True):
            self._logger.report_image(name, label, step, image=image.convert("RGB"))

    def table(self, name: str, frame: "pd.DataFrame") -> None:
        """Reports the table as a plot at the latest step."""
        self._logger.report_table(name, name, self._step, table_plot=frame)

    def artifact(self, name: str, path: Path) -> None:
        """Uploads a file, or a folder as a zip."""
        self._task.upload_artifact(name, path.as_posix())

    def config(self, values: Mapping[str, Any]) -> None:
        """Attaches the configuration."""
        self._task.connect_configuration(dict(values), name="config")

    def close(self) -> None:
        """Uploads what is left and closes the task; an offline session is freed of this machine's paths."""
        folder = Path(self._task.get_offline_mode_folder()) if self._offline else None
        self._task.close()
        if folder is not None:
            remove_paths(folder.with_name(f"{folder.name}.zip"), folder)


def remove_paths(archive: Path, folder: Path) -> None:
    """Makes the paths in an offline session relative; `clearml-task --import-offline-session` takes both.

    Args:
        archive: The session, replaced.
        folder: Where ClearML collected it: in a folder of the person's name, most of the time.
    """
    prefix = folder.as_posix().encode()
    whole = archive.with_name(f".{archive.name}")
    with ZipFile(archive) as old, ZipFile(whole, "w", ZIP_DEFLATED) as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith((".json", ".jsonl")):
                content = content.replace(prefix + b"/", b"").replace(prefix, b"")
            new.writestr(entry, content)
    os.replace(whole, archive)


def check_server() -> None:
    """Checks that ClearML is configured and that its server answers.

    Raises:
        TrackerError: There are no keys, or the server is silent, or another service answers.
    """
    from clearml.backend_api import Session
    from clearml.backend_api.session import defs
    from clearml.config import config_obj

    keys = defs.ENV_ACCESS_KEY.get() or config_obj.get("api.credentials.access_key", None)
    if not (keys or defs.ENV_AUTH_TOKEN.get()):
        raise TrackerError(
            "clearml: no credentials on this machine. Run `clearml-init`, or set CLEARML_API_HOST, "
            "CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY, or run with tracker.clearml.offline=true"
        )
    verify = defs.ENV_HOST_VERIFY_CERT.get(default=config_obj.get("api.verify_certificate", True))
    url = f"{Session.get_api_server_host()}/debug.ping"
    shown = without_password(url)
    status = ask_server("clearml", url, str(verify).lower() not in ("0", "false", "no"))
    if status != HTTP_OK:
        raise TrackerError(f"clearml: {shown} answers HTTP {status}, expected {HTTP_OK}: is this the API server?")
