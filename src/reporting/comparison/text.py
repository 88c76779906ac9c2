"""What a comparison says in words: on the console in English, on the page in its language."""

from collections.abc import Callable, Sequence

from src.comparison.choice import Choice, Why
from src.comparison.settings import Differs
from src.comparison.spread import SeedSpread
from src.comparison.statistics import Comparison
from src.comparison.verdict import Report
from src.metrics.intervals import FEW_PROMPTS, Unit
from src.reporting.texts import Texts


def recommendation(choice: Choice, first: str, texts: Texts) -> str:
    """Returns which run to keep, or what that depends on.

    Args:
        choice: The run to keep.
        first: The name of the run that the others are compared with.
        texts: The words.

    Returns:
        A sentence, and one more for each run that is ahead in a metric without being better.
    """
    best = "" if choice.run is None else choice.run.name
    said = [texts(f"compare.keep.{choice.why.value}", best=best, first=first)]
    key = "compare.ahead" if choice.why is Why.OPEN else "compare.ahead_still"
    said += [texts(key, run=run.name, first=first, best=best, metrics=", ".join(m)) for run, m in choice.ahead]
    return " ".join(said)


def explain_intervals(report: Report, texts: Texts) -> str:
    """Returns how the intervals of a comparison were found.

    Args:
        report: The comparison.
        texts: The words.

    Returns:
        A sentence for each way that occurs.
    """
    ways = dict.fromkeys(_way(found) for found in report.metrics.values())
    return " ".join(texts(f"compare.by.{way}", few=FEW_PROMPTS) for way in ways)


def explain_findings(report: Report, label: Callable[[str], str], texts: Texts) -> list[str]:
    """Returns what each primary metric says: settled, and how, or open, and what would settle it.

    Args:
        report: The comparison.
        label: Names a metric with the model that measured.
        texts: The words.

    Returns:
        A sentence for each primary metric.
    """
    said = []
    for name, finding in report.findings.items():
        found = report.metrics[name]
        figures = {"mean": found.interval.mean, "low": found.interval.low, "high": found.interval.high}
        shown = {key: f"{value:+z.4f}" for key, value in figures.items()}
        line = texts(f"finding.{finding.value}", metric=label(name), margin=f"{report.margins[name]:g}", **shown)
        if name in report.blocked:
            needed = report.blocked[name]
            key = "finding.never" if needed is None else "finding.needs"
            line += texts(key, count=texts(f"compare.{found.unit.value}", count=needed or 0))
        said.append(f"{line}.")
    return said


def explain_scope(report: Report, texts: Texts) -> str:
    """Returns what a comparison of two runs is about: never settings, for which several seeds of each are needed.

    Args:
        report: Of one run against another.
        texts: The words.

    Returns:
        A sentence.
    """
    return texts(f"compare.scope.{report.differs.value}")


def explain_means(report: Report, texts: Texts) -> str:
    """Returns what a comparison of run means is about: two settings, or one setting twice.

    Args:
        report: Of several runs against several.
        texts: The words.

    Returns:
        A sentence.
    """
    return texts("compare.scope.means" if report.differs is Differs.SETTINGS else "compare.scope.means_same")


def explain_spread(report: Report, spreads: Sequence[SeedSpread | None], texts: Texts) -> str:
    """Returns by how much the seed of the training alone moves the primary metrics.

    Args:
        report: The comparison.
        spreads: What was measured for A's settings and for B's; None where nothing was.
        texts: The words.

    Returns:
        A sentence with the known spread, or one that says that it is unknown.
    """
    spread = next((found for found in spreads if found is not None), None)
    if spread is None:
        return texts("compare.spread.unknown")
    known = [name for name in report.primaries if name in spread.sd]
    reach = ", ".join(f"{name} {spread.reach(name):z.3f}" for name in known)
    sd = ", ".join(f"{name} {spread.sd[name]:z.4f}" for name in known)
    figures = {"count": len(spread.seeds), "date": spread.date, "machine": spread.machine, "model": spread.model}
    return texts("compare.spread.known", reach=reach, sd=sd, **figures)


def shown_reach(metric: str, spreads: Sequence[SeedSpread | None], texts: Texts) -> str:
    """Returns by how much two runs of one setting differ in a metric, as a cell of a table.

    Args:
        metric: A primary metric.
        spreads: What was measured for A's settings and for B's; None where nothing was, empty where runs' means are
            compared, whose intervals hold the spread already.
        texts: The words.

    Returns:
        ``±`` and the figure, or that it is unknown.
    """
    if not spreads:
        return "–"
    spread = next((found for found in spreads if found is not None and metric in found.sd), None)
    return texts("compare.unknown") if spread is None else f"±{spread.reach(metric):z.4f}"


def _way(found: Comparison) -> str:
    if found.unit is Unit.PROMPTS:
        return "few" if found.units < FEW_PROMPTS else "bootstrap"
    return found.unit.value
