"""What a comparison of methods found: runs, rates, costs; means, pairs and small studies follow from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from src.comparison.rates import Tried, lies_at_edge
from src.comparison.statistics import Finding
from src.comparison.study import Contestant, Pair, SmallStudies, compare_pairs, settings_means, small_studies
from src.metrics.intervals import Interval
from src.metrics.names import PROMPT, SUBJECT
from src.metrics.quantities import Quantities

# of the draws of small studies
SEED = 0


@dataclass(frozen=True)
class Cost:
    """What a method costs.

    Attributes:
        parameters: Numbers that are trained.
        seconds: Of a step, the median.
        peak_mib: The most memory that was taken, MiB: of the GPU, or of the whole process.
        file_mib: Of a checkpoint, MiB.
    """

    parameters: int
    seconds: float
    peak_mib: float
    file_mib: float


@dataclass(frozen=True)
class Rate:
    """A setting's learning rate.

    Attributes:
        key: What is set.
        value: To what.
        tried: What it was chosen among; empty where a person chose.
    """

    key: str
    value: float
    tried: Sequence[Tried] = ()

    @property
    def shown(self) -> str:
        """Key and value, and whether a better one may lie beyond what was tried."""
        edge = "*" if lies_at_edge(self.value, {one.rate: one for one in self.tried}) else ""
        return f"{self.key}={self.value:g}{edge}"


@dataclass(frozen=True)
class Study:
    """What was found.

    Attributes:
        contestants: Settings with two runs or more.
        rates: The learning rate of each.
        tried: The rates that were tried, by setting, of those left out as well.
        costs: Of those that were measured.
        left_out: Settings with fewer than two runs.
    """

    contestants: Sequence[Contestant]
    rates: Mapping[str, Rate]
    tried: Mapping[str, Sequence[Tried]]
    costs: Mapping[str, Cost] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    @cached_property
    def means(self) -> dict[str, dict[str, Interval]]:
        """Means over the runs, by setting and metric."""
        return {one.name: settings_means(one) for one in self.contestants}

    @property
    def points(self) -> dict[str, tuple[float, float]]:
        """Likeness and prompt fidelity of each, by the means alone."""
        return {name: (of[SUBJECT].mean, of[PROMPT].mean) for name, of in self.means.items()}

    @cached_property
    def pairs(self) -> list[Pair]:
        """All pairs."""
        return compare_pairs(self.contestants)

    @cached_property
    def small(self) -> SmallStudies:
        """What smaller studies would say."""
        return small_studies(self.contestants, SEED)

    @property
    def quantities(self) -> Quantities:
        """What the numbers mean."""
        return Quantities.of(*(run.meta for one in self.contestants for run in one.runs))

    def level_with(self, name: str, metric: str) -> list[str]:
        """Names the settings that are not shown to have less of a metric than one."""
        worse = (Finding.ROSE, Finding.FELL)
        beaten = {
            pair.b if pair.a == name else pair.a
            for pair in self.pairs
            if name in (pair.a, pair.b) and pair.findings.get(metric) is worse[pair.b != name]
        }
        return [one.name for one in self.contestants if one.name not in beaten | {name}]
