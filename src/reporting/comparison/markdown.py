"""A comparison as Markdown, in English: what the commands print."""

from collections.abc import Sequence

from src.comparison.runs import EvaluatedRun
from src.comparison.spread import SeedSpread, spread_of
from src.comparison.verdict import Report, compare_configurations
from src.metrics.quantities import Quantities
from src.reporting.comparison.text import (
    explain_findings,
    explain_intervals,
    explain_means,
    explain_scope,
    explain_spread,
    shown_reach,
)
from src.reporting.texts import load_texts

# as docs/metrics.md says it; a console may lack arrows
BETTER = {"↑": "up", "↓": "down", "": ""}
# of the console; the page has report.language
ENGLISH = load_texts("en")


def describe(
    report: Report, quantities: Quantities, about: str, basis: str, spreads: Sequence[SeedSpread | None]
) -> str:
    """Returns a comparison as Markdown.

    Args:
        report: The comparison.
        quantities: What the numbers mean.
        about: What is compared with what.
        basis: How much data there is.
        spreads: What is known of the seed's spread, for A's settings and for B's.

    Returns:
        Table, how the intervals were found, verdict, what each primary metric says.
    """
    lines = [
        "| metric | better | B - A | 95 % interval | p | detectable | margin | seed spread | from |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in [*report.primaries, *(name for name in report.metrics if name not in report.primaries)]:
        found = report.metrics[name]
        margin = f"{report.margins[name]:g}" if name in report.primaries else "descriptive"
        lines.append(
            f"| {quantities.label(name)} | {BETTER[quantities.arrow(name)]} | {found.interval.mean:+z.4f} "
            f"| {found.interval.low:+z.4f} to {found.interval.high:+z.4f} | {found.p:z.4f} | {found.detectable:z.4f} "
            f"| {margin} | {shown_reach(name, spreads, ENGLISH) if name in report.primaries else '–'} "
            f"| {ENGLISH(f'compare.{found.unit.value}', count=found.units)} |"
        )
    basis = f"{explain_intervals(report, ENGLISH)} {basis}"
    if report.comparisons > 1:
        basis += f" {ENGLISH('compare.many', count=report.comparisons)}"
    verdict = f"{about}: **{report.verdict.value}**: {ENGLISH(f'verdict.{report.verdict.name}')}"
    findings = [f"- {line}" for line in explain_findings(report, quantities.label, ENGLISH)]
    return "\n".join([*lines, "", basis, "", verdict, "", *findings, ""])


def describe_pair(a: EvaluatedRun, b: EvaluatedRun, report: Report, known: Sequence[SeedSpread]) -> str:
    """Returns the comparison of two runs, which is one of two checkpoints.

    Args:
        a: One.
        b: The other.
        report: About B against A.
        known: The seed's spread, where it was measured.

    Returns:
        Markdown.
    """
    sides = f"A = {a.name} ({a.meta['selected']}), B = {b.name} ({b.meta['selected']})"
    spreads = [spread_of(run, known) for run in (a, b)]
    basis = f"{sum(report.dropped.values())} pairs without a value left out."
    about = ENGLISH("compare.of.checkpoints", a="A", b="B")
    scope = f"{explain_scope(report, ENGLISH)} {explain_spread(report, spreads, ENGLISH)}"
    return "\n".join([sides, "", describe(report, a.quantities, about, basis, spreads), scope, ""])


def describe_settings(a: Sequence[EvaluatedRun], b: Sequence[EvaluatedRun]) -> str:
    """Returns the comparison of two settings, each trained with several seeds.

    Args:
        a: The runs of one.
        b: Those of the other.

    Returns:
        Markdown: table, verdict, what it is about.

    Raises:
        MetricError: They may not be compared, or one side is not one setting.
    """
    report = compare_configurations(a, b)
    basis = f"{len(a)} of A, {len(b)} of B."
    about = ENGLISH("compare.of.settings", a="A", b="B")
    return "\n".join([describe(report, a[0].quantities, about, basis, []), explain_means(report, ENGLISH), ""])
