"""Runs a project's programs in processes forked from one that has imported what others wrote, which takes seconds.

The project's own code is read anew by each, as `python train.py` reads it; every process can be killed. That DVC starts
the same programs from nothing, and that those make the same bytes, is held by the first run of a project.
"""

import multiprocessing
import os
import runpy
import shlex
import sys
from multiprocessing import forkserver
from pathlib import Path

from tests.integration.project import ROOT, environment

PACKAGES = ["diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion", "peft", "accelerate", "hydra", "pandas"]
PACKAGES += ["open_clip", "torchmetrics.functional.image.lpips", "transformers.models.blip.modeling_blip", "dvc.cli"]
PACKAGES += ["dvc.repo", "dvc.stage.run"]
WARM = multiprocessing.get_context("forkserver")
LOG = Path("logs/warm.log")
# process ids of servers that were started here
OURS: set[int | None] = set()


def start_warm(folder: Path, *command: str) -> multiprocessing.Process:
    """Starts `python PROGRAM ...` or `dvc ...` in a project; what it prints goes to a log there."""
    if (server := forkserver._forkserver)._forkserver_pid not in OURS:
        # a process has one server; another test's, that of src.core.workers, has imported the project
        server._stop()
        WARM.set_forkserver_preload(PACKAGES)
    process = WARM.Process(target=_become, args=(folder, command))
    process.start()
    OURS.add(server._forkserver_pid)
    return process


def run_warm(folder: Path, *command: str) -> str:
    """Runs `python PROGRAM ...` or `dvc ...` in a project; returns what it printed, and shows it when it fails."""
    process = start_warm(folder, *command)
    process.join()
    said = (folder / LOG).read_text()
    if process.exitcode:
        raise AssertionError(f"{' '.join(command)} exited with {process.exitcode}:\n{said[-6000:]}")
    return said


def _become(folder: Path, command: tuple[str, ...]) -> None:
    os.chdir(folder)
    for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
        del sys.modules[name]
    assert "src" not in sys.modules, "the project's own code is read anew"
    sys.path[:] = [str(folder), *(path for path in sys.path if Path(path or ".").resolve() != ROOT)]
    LOG.parent.mkdir(exist_ok=True)
    log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    _set_environment(environment())
    if command[0] == "python":
        _run_program(*command[1:])
        return
    from dvc.cli import main
    from dvc.stage import run

    run._run = _run_stage
    sys.exit(main(list(command[1:])))


def _run_stage(_shell: str, command: str, *, env: dict[str, str], **_) -> None:
    """Runs the command of a stage as DVC's own function does, but for the start of its process."""
    from dvc.stage.exceptions import StageCmdFailedError

    assert command.startswith("python ")
    process = multiprocessing.get_context("fork").Process(target=_run_program, args=shlex.split(command)[1:])
    before = dict(os.environ)
    _set_environment(env)
    process.start()
    _set_environment(before)
    process.join()
    if process.exitcode:
        raise StageCmdFailedError(command, process.exitcode)


def _set_environment(variables: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


def _run_program(program: str, *words: str) -> None:
    module = program == "-m"
    sys.argv = [*words] if module else [program, *words]
    if module:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(program, run_name="__main__")
