"""The page that compares runs: what each tested, what was changed, what came out, and which one to keep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.comparison.choice import Choice
from src.comparison.runs import EvaluatedRun, setting
from src.comparison.spread import SeedSpread, spread_of
from src.comparison.verdict import Report, margins_of
from src.core.files import write_text
from src.core.nested import flatten
from src.metrics.intervals import against_base
from src.metrics.names import BASE
from src.metrics.quantities import Quantities
from src.metrics.summary import reported_means
from src.reporting.charts import run_colours, write_figure_tables
from src.reporting.comparison.figures import comparison_figures
from src.reporting.comparison.samples import PromptPictures
from src.reporting.comparison.text import (
    explain_findings,
    explain_intervals,
    explain_scope,
    explain_spread,
    recommendation,
    shown_reach,
)
from src.reporting.metric_tables import metric_table
from src.reporting.templating import render_page, shorten_path
from src.reporting.texts import Source, load_sources, load_texts

# parameters that say where things are or how they were composed, not what a run does
UNIMPORTANT = ("configs_digest", "exp.", "report.", "tracker.", "metrics.", "evaluate.margins.")


@dataclass(frozen=True)
class Note:
    """What a person writes about an experiment: what it should show, and what is concluded from it."""

    hypothesis: str
    conclusion: str


@dataclass(frozen=True)
class Notes:
    """What a person writes about a series of experiments.

    Attributes:
        runs: By run.
        failed: Experiments that gave nothing to compare, and why.
        ideas: What was not done.
        borrowed: Code that others wrote, beside the project's own sources.
    """

    runs: Mapping[str, Note]
    failed: tuple[str, ...]
    ideas: tuple[str, ...]
    borrowed: tuple[Source, ...]


@dataclass(frozen=True)
class Entry:
    """One run on the page.

    Attributes:
        run: What was evaluated.
        report: Against the first run; None for the first run itself, and where `refusal` says why there is none.
        refusal: Why it may not be compared.
        note: What a person wrote.
    """

    run: EvaluatedRun
    report: Report | None
    refusal: str
    note: Note


def changed_parameters(first: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Lists what differs between two params.yaml.

    Args:
        first: Of the first run.
        other: Of the other.

    Returns:
        Dotted key, value in the first, value in the other, by key; a missing value is "–", a path its last name.
    """
    a, b = flatten(first, lists=True), flatten(other, lists=True)
    keys = sorted(key for key in a.keys() | b.keys() if not key.startswith(UNIMPORTANT) and a.get(key) != b.get(key))
    return [(key, shorten_path(str(a.get(key, "–"))), shorten_path(str(b.get(key, "–")))) for key in keys]


def _told(run: EvaluatedRun) -> dict[str, Any]:
    params = flatten(run.params, lists=True)
    return {key: shorten_path(value) if isinstance(value, str) else value for key, value in params.items()}


# what the template asks for words
WORDS = {
    "explain_intervals": explain_intervals,
    "explain_findings": explain_findings,
    "explain_scope": explain_scope,
    "explain_spread": explain_spread,
    "shown_reach": shown_reach,
}


def write_comparison(
    out: Path,
    entries: Sequence[Entry],
    notes: Notes,
    choice: Choice,
    known: Sequence[SeedSpread],
    pictures: Sequence[PromptPictures],
) -> None:
    """Writes the page and, beside it, its figures' numbers as CSV; figures leave out what may not be compared.

    Args:
        out: The HTML file.
        entries: The first is what the others are compared with; its margins and language count.
        notes: What a person wrote.
        choice: The run to keep.
        known: The seed's spread, where it was measured.
        pictures: From `sample_grid`.

    Raises:
        ConfigError: There are no texts in that language.
        MetricError: The first run's settings lack margins or language.
    """
    first = entries[0].run
    texts = load_texts(setting(first, "report", "language"))
    # runs that other models measured are not comparable
    quantities = first.quantities
    comparable = [entry for entry in entries if not entry.refusal]
    reports = {entry.run.name: entry.report for entry in comparable if entry.report is not None}
    base, of_base = f"{first.name} · {BASE}", reported_means(first.scores, BASE)
    means = {e.run.name: reported_means(e.run.scores, e.run.meta["selected"]) for e in comparable}
    kept = "" if choice.run is None else choice.run.name
    contenders = [choice.run] if choice.run is not None else [first, *(run for run, _ in choice.ahead)]
    runs = [entry.run for entry in comparable]
    specs = comparison_figures(runs, reports, of_base, margins_of(first), texts, quantities)
    keep = recommendation(choice, first.name, texts)
    page = render_page(
        "comparison.html.j2",
        title=texts("compare.title"),
        texts=texts,
        label=quantities.label,
        arrow=quantities.arrow,
        verdict=quantities.verdict,
        metric_order=quantities.order,
        lead=f"{texts('compare.lead', count=len(comparable), first=first.name)} {keep}",
        keep=keep,
        entries=[(entry, changed_parameters(first.params, entry.run.params)) for entry in entries],
        contenders=[(run, against_base(run.scores, run.meta["selected"]), _told(run)) for run in contenders],
        kept=choice.run,
        notes=notes,
        sources=load_sources(texts.language),
        table=metric_table({base: of_base} | means, _verdicts(reports, quantities), quantities, selected=kept),
        dots=run_colours(list(means)) | {base: BASE},
        pictures=pictures,
        margins=margins_of(first),
        spread_of_pair=lambda run: [spread_of(side, known) for side in (first, run)],
        comparisons=len(reports),
        specs=specs,
        **WORDS,
    )
    write_text(out, page)
    write_figure_tables(out.with_name(f"{out.stem}_figures"), specs)


def _verdicts(reports: Mapping[str, Report], quantities: Quantities) -> dict[str, dict[str, str]]:
    return {
        name: {m: quantities.verdict(m, found.interval.low, found.interval.high) for m, found in report.metrics.items()}
        for name, report in reports.items()
    }
