"""How much runs of the same settings differ when the seed of the training alone does: measured, or unknown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

from src.comparison.runs import EvaluatedRun
from src.comparison.settings import Differs, settings_digest, what_differs
from src.comparison.verdict import PRIMARIES, run_means
from src.core.errors import MetricError
from src.metrics.intervals import LEVEL

# of the embedded default; written by `python -m src.commands.seeds --spread`
SPREAD_FILE = Path(__file__).with_name("seed_spread.json")


@dataclass(frozen=True)
class SeedSpread:
    """Runs that differ in the seed of the training alone.

    Attributes:
        settings: From `settings_digest`.
        model: The base model's name.
        seeds: Of the runs.
        sd: Standard deviation of a run's mean over the test prompts, by primary metric.
        command: What measured it.
        machine: On what.
        date: When, as year-month-day.
    """

    settings: str
    model: str
    seeds: tuple[int, ...]
    sd: Mapping[str, float]
    command: str
    machine: str
    date: str

    def reach(self, metric: str) -> float:
        """Returns by how much two runs of these settings differ at most in 95 % of pairs, from so few runs.

        Args:
            metric: One of `sd`.

        Returns:
            Student's quantile times the standard deviation of a difference.
        """
        return float(stdtrit(len(self.seeds) - 1, (1 + LEVEL) / 2)) * float(np.sqrt(2)) * self.sd[metric]


def read_spreads(path: Path = SPREAD_FILE) -> tuple[SeedSpread, ...]:
    """Reads what was measured.

    Args:
        path: The file; a list of the fields of `SeedSpread`.

    Returns:
        One for each settings.
    """
    return tuple(SeedSpread(**{**entry, "seeds": tuple(entry["seeds"])}) for entry in json.loads(path.read_text()))


def spread_of(run: EvaluatedRun, known: Sequence[SeedSpread]) -> SeedSpread | None:
    """Returns the spread that was measured for a run's settings.

    Args:
        run: The run.
        known: From `read_spreads`.

    Returns:
        None where none was.
    """
    digest = settings_digest(run.params)
    return next((spread for spread in known if spread.settings == digest), None)


def measure_spread(runs: Sequence[EvaluatedRun], command: str, machine: str, date: str) -> SeedSpread:
    """Measures the spread of the primary metrics.

    Args:
        runs: Three or more of the same settings, each with another seed.
        command: What made them.
        machine: On what.
        date: When.

    Returns:
        The spread.

    Raises:
        MetricError: There are fewer, or they differ in more than seeds.
    """
    first = runs[0]
    if len(runs) < 3 or any(what_differs(first, run) is not Differs.SEEDS for run in runs[1:]):
        raise MetricError(f"seed spread: expected three runs or more that differ in the seed alone, found {len(runs)}")
    means = [run_means(run) for run in runs]
    shared = [name for name in PRIMARIES if all(name in of_run for of_run in means)]
    sd = {name: round(float(np.std([of_run[name] for of_run in means], ddof=1)), 6) for name in shared}
    seeds = tuple(int(run.params["seed"]) for run in runs)
    return SeedSpread(settings_digest(first.params), first.params["model"]["name"], seeds, sd, command, machine, date)


def spread_json(spread: SeedSpread) -> list[dict[str, object]]:
    """Returns the content of a spread file, see `read_spreads`."""
    return [asdict(spread)]
