"""Trainings as DVC experiments: named by what decides their results, run once, in turn."""

import json
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from src.core.closure import closure, digest, distributions
from src.core.config import DVC_FILE, load_config, to_dict
from src.core.errors import MetricError
from src.core.files import sha256_bytes

# stages that refuse or tell, and parameters that watch: they change no result
TELLING = ("check", "config", "report")
OBSERVING = ("check", "configs_digest", "exp", "report", "tracker")
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
        name = sha256_bytes(json.dumps([project_content(), decisive], sort_keys=True).encode())
        return cls(f"{kind}-{name[:8]}-{params['seed']}", tuple(overrides))


@cache
def project_content() -> str:
    """Names the code that generates and measures, its libraries, and the data that git has the hashes of.

    Returns:
        64 hexadecimal digits; pages, commands, documents and tests do not count.
    """
    dvc_file = DVC_FILE.read_text()
    roots = [f"src.stages.{stage}" for stage in yaml.safe_load(dvc_file)["stages"] if stage not in TELLING]
    for folder in CHOSEN:
        files = sorted(Path("src", folder).rglob("*.py"))
        roots += [".".join(path.with_suffix("").parts) for path in files if path.stem != "__init__"]
    data = [path.read_text() for path in sorted(Path().glob("[dm]*/*.dvc"))]
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
        MetricError: One failed.
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
        if status := run(trial):
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
        DVC's exit status.
    """
    settings = [word for override in trial.overrides for word in ("-S", override)]
    command = [
        sys.executable,
        "-m",
        "dvc",
        "exp",
        "run",
        "--temp",
        "--name",
        trial.name,
        *settings,
        *filter(None, [last]),
    ]
    return subprocess.run(command, check=False, stdout=sys.stderr).returncode


def machine_name() -> str:
    """Returns processor and cores of this machine, as a person would name them."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} cores of {names[0]}" if names else f"{platform.machine()} {platform.processor()}".strip()
