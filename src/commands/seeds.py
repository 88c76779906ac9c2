"""Trains one or two settings with several seeds each and says what that tells about the settings:
`python -m src.commands.seeds --seeds 5 [KEY=VALUE ...] [vs KEY=VALUE ...]`.

Each run is a DVC experiment in a temporary copy, with the same photos held out and the same noise for its pictures. The
same command goes on after a kill: experiments that are there are not run again, and a training resumes from its state.
Prints Markdown: a table of the runs for each setting, and for two settings their comparison by the means of their runs.
"""

import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from src.commands.compare import read_run
from src.commands.usage import command_line
from src.comparison.runs import EvaluatedRun
from src.comparison.settings import differing_keys
from src.comparison.spread import measure_spread, spread_json
from src.comparison.verdict import IGNORED_PARAMS
from src.core.app import INTERRUPTED
from src.core.config import load_config, quote_overrides, to_dict
from src.core.config_errors import one_line
from src.core.errors import ConfigError, MetricError
from src.core.files import sha256_bytes, write_json
from src.core.lock_file import check_lock
from src.reporting.comparison.markdown import describe_settings
from src.reporting.comparison.seeds import describe_seeds

MODULE = "python -m src.commands.seeds"
VERSUS = "vs"
# how pictures are generated and measured: another value on one side, and the sides may not be compared
SHARED = ("subject", "sampler", "validation_args", "prompts", "split")


@dataclass(frozen=True)
class Trial:
    """One training.

    Attributes:
        name: Of its experiment: the project's content, the settings and the seed decide it.
        overrides: What it sets.
    """

    name: str
    overrides: tuple[str, ...]


def split_sides(words: Sequence[str]) -> list[list[str]]:
    """Splits the command line at ``vs``.

    Args:
        words: Overrides, with at most one ``vs``.

    Returns:
        The overrides of one setting, or of two.

    Raises:
        ConfigError: There are more than two, or an override sets the seed or names no choice.
    """
    sides: list[list[str]] = [[]]
    for word in words:
        if word == VERSUS:
            sides.append([])
            continue
        if word.partition("=")[0] == "seed":
            raise ConfigError(f"{word}: seeds are what --seeds is for")
        sides[-1].append(word)
    if len(sides) > 2:
        raise ConfigError("expected one setting, or two with one `vs` between them")
    return [quote_overrides(side) for side in sides]


def read_seeds(wanted: str, first: int) -> list[int]:
    """Reads ``--seeds``.

    Args:
        wanted: How many, or a list with commas.
        first: The configured seed; of a number of seeds it is the first, then 1, 2, and so on.

    Returns:
        Different seeds.

    Raises:
        ConfigError: They are fewer than two, or not numbers.
    """
    try:
        numbers = [int(word) for word in wanted.split(",")]
    except ValueError as error:
        raise ConfigError(f"--seeds {wanted}: expected how many, or numbers with commas") from error
    if len(numbers) == 1:
        others = (seed for seed in range(1, numbers[0] + 1) if seed != first)
        numbers = [first, *(seed for seed, _ in zip(others, range(numbers[0] - 1), strict=False))]
    if len(set(numbers)) < 2 or len(set(numbers)) < len(numbers):
        raise ConfigError(f"--seeds {wanted}: expected two different seeds or more")
    return numbers


def plan_trials(sides: Sequence[Sequence[str]], wanted: str, tree: str) -> list[list[Trial]]:
    """Lays out the trainings of each setting.

    Args:
        sides: Overrides of each.
        wanted: ``--seeds``.
        tree: Names the project's content.

    Returns:
        By side, a trial for each seed.

    Raises:
        ConfigError: An override cannot be used, or the sides would be generated or measured differently.
    """
    composed = [to_dict(load_config(side)) for side in sides]
    for other in composed[1:]:
        one, another = ({key: of[key] for key in SHARED} | of["evaluate"]["margins"] for of in (composed[0], other))
        if different := [key for key in differing_keys(one, another) if key not in IGNORED_PARAMS]:
            raise ConfigError(f"the two settings may not be compared: they differ in {', '.join(different)}")
    first = composed[0]
    fixed = (f"split.seed={first['split']['seed']}", f"validation_args.seed={first['validation_args']['seed']}")
    seeds = read_seeds(wanted, first["seed"])
    planned = []
    for side in sides:
        overrides = [(*side, *fixed, f"seed={seed}") for seed in seeds]
        digests = [sha256_bytes(json.dumps([tree, words]).encode())[:8] for words in overrides]
        named = zip(digests, seeds, overrides, strict=True)
        planned.append([Trial(f"seeds-{digest}-{seed}", words) for digest, seed, words in named])
    return planned


def run_trials(
    planned: Sequence[Sequence[Trial]], finished: Callable[[], set[str]], run: Callable[[Trial], int]
) -> None:
    """Runs what is not there yet, the sides in turn, so that a part of it can be compared, too.

    Args:
        planned: From `plan_trials`.
        finished: Returns the names of the experiments that are there.
        run: Runs one; returns its exit status.

    Raises:
        MetricError: One failed.
    """
    in_turn = [trial for of_seed in zip(*planned, strict=True) for trial in of_seed]
    for number, trial in enumerate(in_turn, start=1):
        told = f"run {number} of {len(in_turn)}, {trial.name}: {' '.join(trial.overrides)}"
        if trial.name in finished():
            print(f"seeds: {told}: is there", file=sys.stderr, flush=True)
            continue
        print(f"seeds: {told}", file=sys.stderr, flush=True)
        if status := run(trial):
            raise MetricError(f"{trial.name} ended with status {status}, its output is above; the same command goes on")


def project_tree() -> str:
    """Names the content of all tracked files as they lie here, changes included.

    Returns:
        A hash of git's.

    Raises:
        ConfigError: This is no git repository, or one without a commit.
    """
    try:
        changed = _git("stash", "create")
        return _git("rev-parse", f"{changed or 'HEAD'}^{{tree}}")
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigError("expected a git repository with a commit, in its root") from error


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout.strip()


def finished_experiments() -> set[str]:
    """Returns the names of all DVC experiments."""
    from dvc.repo import Repo

    with Repo() as repo:
        found = repo.experiments.ls(all_commits=True)
    return {str(name) for experiments in found.values() for name, _ in experiments}


def run_experiment(trial: Trial) -> int:
    """Runs a trial in a temporary copy of the project; states, caches and DVC's cache are shared.

    Args:
        trial: The trial.

    Returns:
        DVC's exit status.
    """
    settings = [word for override in trial.overrides for word in ("-S", override)]
    command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "--name", trial.name, *settings]
    return subprocess.run(command, check=False, stdout=sys.stderr).returncode


def machine_name() -> str:
    """Returns processor and cores of this machine, as a person would name them."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} cores of {names[0]}" if names else f"{platform.machine()} {platform.processor()}".strip()


def describe(sides: Sequence[Sequence[str]], runs: Sequence[Sequence[EvaluatedRun]]) -> str:
    """Returns what the runs say, as Markdown.

    Args:
        sides: Overrides of each setting.
        runs: Of each setting, one for each seed.

    Returns:
        A table for each setting, and of two their comparison.

    Raises:
        MetricError: They may not be compared.
    """
    told = [describe_seeds(" ".join(side) or "default", of_side) for side, of_side in zip(sides, runs, strict=True)]
    if len(runs) == 2:
        told.append(f"A: {' '.join(sides[0]) or 'default'}; B: {' '.join(sides[1]) or 'default'}\n")
        told.append(describe_settings(*runs))
    return "\n".join(told)


@one_line("seeds")
def main() -> None:
    """Runs the trials and prints what they say.

    Raises:
        SystemExit: A run failed, runs may not be compared, or Ctrl-C was pressed.
    """
    parser = command_line("seeds", __doc__)
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="of one setting, or of two with `vs` between")
    parser.add_argument("--seeds", default="5", help="how many, or a list with commas (default: 5)")
    parser.add_argument("--spread", type=Path, help="write the first setting's spread over its seeds to this file")
    wanted = parser.parse_intermixed_args()
    try:
        check_lock(Path())
        sides = split_sides(wanted.settings)
        planned = plan_trials(sides, wanted.seeds, project_tree())
        run_trials(planned, finished_experiments, run_experiment)
        runs = [[read_run(trial.name) for trial in side] for side in planned]
        print(describe(sides, runs))
        if wanted.spread is not None:
            command = shlex.join([*MODULE.split(), "--seeds", wanted.seeds, *sides[0]])
            today = datetime.now(tz=UTC).date().isoformat()
            write_json(wanted.spread, spread_json(measure_spread(runs[0], command, machine_name(), today)))
    except KeyboardInterrupt as error:
        print("seeds: interrupted; the same command goes on", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from error


if __name__ == "__main__":
    main()
