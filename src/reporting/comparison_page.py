"""The page that compares runs: what each tested, what was changed, what came out, and which one to keep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.core.errors import MetricError
from src.core.files import write_text
from src.metrics.comparison import EvaluatedRun, Report
from src.metrics.intervals import against_base, mean_interval
from src.metrics.names import BASE, PROMPT, SUBJECT, TEST
from src.metrics.samples import STEP_VARIANT
from src.metrics.summary import mean_scores
from src.reporting.charts import Row
from src.reporting.comparison_charts import forest, metric_scatter
from src.reporting.figure_tables import write_figure_tables
from src.reporting.metric_page import metric_table
from src.reporting.scoring import arrow, flatten, is_gain, metric_order
from src.reporting.sources import Source, load_sources
from src.reporting.templating import render_page
from src.reporting.texts import load_texts

# what the scatter shows
PLANE = {SUBJECT, PROMPT}
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
        Dotted key, value in the first, value in the other, by key; a missing value is "–".
    """
    a, b = flatten(first), flatten(other)
    keys = sorted(key for key in a.keys() | b.keys() if not key.startswith(UNIMPORTANT))
    return [(key, str(a.get(key, "–")), str(b.get(key, "–"))) for key in keys if a.get(key) != b.get(key)]


def checkpoint_rows(run: EvaluatedRun) -> list[Row]:
    """Returns a run's checkpoints in the plane of the primary metrics; the chosen one has intervals.

    Args:
        run: What was evaluated.

    Returns:
        By step; nothing where a primary metric is missing.
    """
    rows = []
    for variant in sorted(set(run.scores["variant"])):
        match = STEP_VARIANT.fullmatch(variant)
        means = mean_scores(run.scores, variant, TEST) if match else {}
        if not match or not means.keys() >= PLANE:
            continue
        chosen = variant == run.meta["selected"]
        row: Row = {"name": run.name, "step": int(match[1]), "selected": chosen, **{m: means[m] for m in sorted(PLANE)}}
        for metric in sorted(PLANE) if chosen else ():
            found = mean_interval(run.scores, variant, metric)
            if found is None:
                continue
            row |= {f"{metric}_low": found.low, f"{metric}_high": found.high}
        rows.append(row)
    return sorted(rows, key=lambda row: row["step"])


def best_run(entries: Sequence[Entry], margin: float) -> str:
    """Chooses by the rule for checkpoints: the highest dino_vits16 whose clip_t keeps within a margin of base's.

    Args:
        entries: The runs.
        margin: evaluate.select_clip_t_margin.

    Returns:
        The name of the first best run.

    Raises:
        MetricError: No run has both primary metrics.
    """
    of_run = {entry.run.name: mean_scores(entry.run.scores, entry.run.meta["selected"], TEST) for entry in entries}
    of_base = {entry.run.name: mean_scores(entry.run.scores, BASE, TEST) for entry in entries}
    scored = [name for name, means in of_run.items() if means.keys() >= PLANE]
    if not scored:
        raise MetricError(f"no run has both {SUBJECT} and {PROMPT}")
    within = [name for name in scored if of_run[name][PROMPT] >= of_base[name][PROMPT] - margin]
    return (
        max(within, key=lambda name: of_run[name][SUBJECT])
        if within
        else max(scored, key=lambda name: of_run[name][PROMPT])
    )


def write_comparison(
    out: Path, entries: Sequence[Entry], notes: Notes, margins: Mapping[str, float], clip_t_margin: float, language: str
) -> None:
    """Writes the page and, beside it, the numbers of its figures as CSV.

    Args:
        out: The HTML file.
        entries: The first is what the others are compared with.
        notes: What a person wrote.
        margins: Of the primary metrics.
        clip_t_margin: See `best_run`.
        language: Of the page.

    Raises:
        ConfigError: There are no texts in that language.
        MetricError: No run has both primary metrics.
    """
    texts = load_texts(language)
    names = [entry.run.name for entry in entries]
    best = best_run(entries, clip_t_margin)
    winner = next(entry.run for entry in entries if entry.run.name == best)
    means = {f"{name} · {BASE}": mean_scores(entries[0].run.scores, BASE, TEST) for name in names[:1]}
    means |= {entry.run.name: mean_scores(entry.run.scores, entry.run.meta["selected"], TEST) for entry in entries}
    points = [row for entry in entries for row in checkpoint_rows(entry.run)]
    compared = {entry.run.name: entry.report.metrics for entry in entries if entry.report is not None}
    intervals = {name: {m: found.interval for m, found in metrics.items()} for name, metrics in compared.items()}
    specs = {"scatter": metric_scatter(points, names)}
    if compared:
        specs["forest"] = forest(intervals, margins, texts("axis.difference"))
    page = render_page(
        "comparison.html.j2",
        texts=texts,
        entries=[(entry, changed_parameters(entries[0].run.params, entry.run.params)) for entry in entries],
        best=best,
        winner=winner,
        gain=against_base(winner.scores, winner.meta["selected"]),
        settings=flatten(winner.params),
        notes=notes,
        sources=load_sources(),
        table=metric_table(means, best_of=names, selected=best),
        metric_order=metric_order,
        arrow=arrow,
        is_gain=is_gain,
        margins=margins,
        specs=specs,
    )
    write_text(out, page)
    write_figure_tables(out.with_name(f"{out.stem}_figures"), specs)
