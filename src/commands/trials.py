"""Trainings as DVC experiments: named by what decides their results, run once, in turn."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from src.core.closure import closure, digest, distributions
from src.core.config import DVC_FILE, load_config, to_dict
from src.core.errors import ConfigError, MetricError, NonFiniteError
from src.core.files import sha256_bytes, sha256_tree
from src.core.nested import flatten
from src.core.provenance import arithmetic_settings

# stages that refuse or tell, and parameters that watch: they change no result
TELLING = ("check", "config", "data_report", "report")
# of a path in a parameter
LONGEST = 1000
# what DVC says of a stage with that status
DIVERGED = f"exited with {NonFiniteError.exit_status}"
OBSERVING = ("check", "configs_digest", "data_report", "exp", "faces", "report", "tracker")
# whose modules a `_target_` may choose
CHOSEN = ("data", "features", "losses", "methods", "metrics", "models", "training")


@dataclass(frozen=True)
class Trial:
    """One training.

    Attributes:
        name: Of its experiment: the settings, the seed, the project's code and data decide it.
        overrides: What it sets.
    """

    name: str
    overrides: tuple[str, ...]

    @classmethod
    def of(cls, kind: str, overrides: Sequence[str]) -> "Trial":
        """Names a training.

        Args:
            kind: What the name begins with.
            overrides: What it sets, the seed as well.

        Returns:
            The same name for the same settings, code and data, however they are said.

        Raises:
            ConfigError: An override cannot be used.
        """
        params = to_dict(load_config(overrides))
        decisive = {key: value for key, value in params.items() if key not in OBSERVING}
        files = {value: content_of(value) for value in flatten(decisive, lists=True).values() if is_place(value)}
        parts = [project_content(), arithmetic_settings(os.environ), decisive, files]
        name = sha256_bytes(json.dumps(parts, sort_keys=True).encode())
        return cls(f"{kind}-{name[:8]}-{params['seed']}", tuple(overrides))


def is_place(value: Any) -> bool:
    """Tells whether a parameter names a file or folder that is there, as a model's or a list of prompts."""
    return isinstance(value, str) and bool(value) and len(value) < LONGEST and Path(value).exists()


@cache
def content_of(place: str) -> str:
    """Names the content of a file or folder."""
    return sha256_tree(Path(place))


def tracked_data() -> list[Path]:
    """Returns what DVC tracks by a file of its own.

    Returns:
        Photos and models that come with the project.

    Raises:
        ConfigError: Some of it is not here.
    """
    tracked = [path.with_suffix("") for path in sorted(Path().glob("[dm]*/*.dvc"))]
    if missing := [str(path) for path in tracked if not path.exists()]:
        raise ConfigError(f"{', '.join(missing)}: not here; `dvc pull {' '.join(missing)}`")
    return tracked


@cache
def project_content() -> str:
    """Names the code that generates and measures, its libraries, and what DVC tracks by a file of its own.

    Returns:
        64 hexadecimal digits; pages, commands, documents and tests do not count.

    Raises:
        ConfigError: What DVC tracks is not here.
    """
    dvc_file = DVC_FILE.read_text()
    roots = [f"src.stages.{stage}" for stage in yaml.safe_load(dvc_file)["stages"] if stage not in TELLING]
    for folder in CHOSEN:
        files = sorted(Path("src", folder).rglob("*.py"))
        roots += [".".join(path.with_suffix("").parts) for path in files if path.stem != "__init__"]
    # as they lie here, which is what DVC takes into an experiment, recorded or not
    data = [content_of(str(path)) for path in tracked_data()]
    modules = closure(roots)
    return sha256_bytes("\0".join([digest(modules), *distributions(modules), dvc_file, *data]).encode())


def run_trials(
    command: str,
    trials: Sequence[Trial],
    finished: Callable[[], set[str]],
    run: Callable[[Trial], int],
    late: Callable[[], bool] = lambda: False,
) -> bool:
    """Runs what is not there yet.

    Args:
        command: Whose lines these are.
        trials: In the order wanted.
        finished: Returns the names of the experiments that are there.
        run: Runs one; returns its exit status.
        late: Whether no further one may begin.

    Returns:
        Whether all are there.

    Raises:
        NonFiniteError: A training's numbers became NaN or infinite.
        MetricError: One failed otherwise, or the project was changed beneath it.
    """
    for number, trial in enumerate(trials, start=1):
        told = f"run {number} of {len(trials)}, {trial.name}: {' '.join(trial.overrides)}"
        if trial.name in finished():
            print(f"{command}: {told}: is there", file=sys.stderr, flush=True)
            continue
        if late():
            print(f"{command}: the time is up before {told}; the same command goes on", file=sys.stderr, flush=True)
            return False
        print(f"{command}: {told}", file=sys.stderr, flush=True)
        status = run(trial)
        if status == NonFiniteError.exit_status:
            raise NonFiniteError(f"{trial.name}: its numbers became NaN or infinite, the output is above")
        if status:
            raise MetricError(f"{trial.name} ended with status {status}, its output is above; the same command goes on")
    return True


def finished_experiments() -> set[str]:
    """Returns the names of all DVC experiments."""
    from dvc.repo import Repo

    with Repo() as repo:
        found = repo.experiments.ls(all_commits=True)
    return {str(name) for experiments in found.values() for name, _ in experiments}


def run_experiment(trial: Trial, last: str = "") -> int:
    """Runs a trial in a temporary copy of the project; states, caches and DVC's cache are shared.

    Args:
        trial: The trial.
        last: The stage to end with; empty for all.

    Returns:
        DVC's exit status, or that of a stage whose numbers became NaN or infinite.

    Raises:
        MetricError: Code or data are not what they were when the trial was named.
    """
    _check_unchanged(trial)
    settings = [word for override in trial.overrides for word in ("-S", override)]
    command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "--name", trial.name, *settings]
    diverged = False
    with subprocess.Popen(
        [*command, *filter(None, [last])], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as running:
        assert running.stdout is not None, "it is a pipe"
        for line in running.stdout:
            sys.stderr.write(line)
            sys.stderr.flush()
            diverged |= DIVERGED in line
    status = running.returncode
    if not status:
        _check_unchanged(trial)
    return NonFiniteError.exit_status if status and diverged else status


def _check_unchanged(trial: Trial) -> None:
    """Asks a fresh process, which remembers nothing, for the name; DVC copies the project as it is at the moment."""
    kind, *_ = trial.name.split("-")
    program = "import sys; from src.commands.trials import Trial; print(Trial.of(sys.argv[1], sys.argv[2:]).name)"
    command = [sys.executable, "-c", program, kind, *trial.overrides]
    found = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True).stdout.strip()
    if found != trial.name:
        raise MetricError(
            f"{trial.name}: code, data or configs/ were changed since this command began, it would be "
            f"{found or 'refused'} now; begin again (and `dvc exp remove {trial.name}` if it was made just now)"
        )


def machine_name() -> str:
    """Returns processor and cores of this machine, as a person would name them."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} cores of {names[0]}" if names else f"{platform.machine()} {platform.processor()}".strip()
