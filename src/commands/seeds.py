"""Trains one or two settings with several seeds each and says what that tells about the settings:
`python -m src.commands.seeds --seeds 5 [KEY=VALUE ...] [vs KEY=VALUE ...]`.

Each run is a DVC experiment in a temporary copy, with the same photos held out and the same noise for its pictures. The
same command goes on after a kill: experiments that are there are not run again, and a training resumes from its state.
Prints Markdown: a table of the runs for each setting, and for two settings their comparison by the means of their runs.
"""

import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from src.commands.compare import read_run
from src.commands.trials import Trial, finished_experiments, machine_name, run_experiment, run_trials
from src.commands.usage import command_line
from src.comparison.runs import EvaluatedRun
from src.comparison.settings import differing_keys
from src.comparison.spread import measure_spread, spread_json
from src.comparison.verdict import IGNORED_PARAMS
from src.core.app import INTERRUPTED
from src.core.config import load_config, quote_overrides, to_dict
from src.core.config_errors import one_line
from src.core.errors import ConfigError
from src.core.files import write_json
from src.core.lock_file import check_lock
from src.reporting.comparison.markdown import describe_settings
from src.reporting.comparison.seeds import describe_seeds

MODULE = "python -m src.commands.seeds"
VERSUS = "vs"
# how pictures are generated and measured: another value on one side, and the sides may not be compared
SHARED = ("subject", "sampler", "validation_args", "prompts", "split")


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


def plan_trials(sides: Sequence[Sequence[str]], wanted: str) -> list[list[Trial]]:
    """Lays out the trainings of each setting.

    Args:
        sides: Overrides of each.
        wanted: ``--seeds``.

    Returns:
        By side, a trial for each seed.

    Raises:
        ConfigError: An override cannot be used, or the sides would be generated or measured differently.
    """
    composed = [to_dict(load_config(side)) for side in sides]
    first = composed[0]
    check_alike(composed)
    seeds = read_seeds(wanted, first["seed"])
    return [[Trial.of("seeds", (*side, *fixed_seeds(first), f"seed={seed}")) for seed in seeds] for side in sides]


def check_alike(composed: Sequence[Mapping[str, Any]]) -> None:
    """Refuses settings whose pictures would be generated or measured differently, before anything is trained.

    Args:
        composed: The parameters of each.

    Raises:
        ConfigError: Two differ in such a key.
    """
    for other in composed[1:]:
        one, another = ({key: of[key] for key in SHARED} | of["evaluate"]["margins"] for of in (composed[0], other))
        if different := [key for key in differing_keys(one, another) if key not in IGNORED_PARAMS]:
            raise ConfigError(f"the settings may not be compared: they differ in {', '.join(different)}")


def fixed_seeds(params: Mapping[str, Any]) -> tuple[str, str]:
    """Returns what keeps the photos that are held out and the noise of the images, whatever the training's seed."""
    return f"split.seed={params['split']['seed']}", f"validation_args.seed={params['validation_args']['seed']}"


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
        planned = plan_trials(sides, wanted.seeds)
        # the sides take turns, so that a part of it can be compared, too
        in_turn = [trial for of_seed in zip(*planned, strict=True) for trial in of_seed]
        run_trials("seeds", in_turn, finished_experiments, run_experiment)
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
