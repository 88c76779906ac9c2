"""Methods over training seeds: tables, verdicts of all pairs, front, costs, and what to take when, as text and page."""

from pathlib import Path
from typing import Any

import altair as alt

from src.comparison.statistics import Verdict
from src.comparison.study import FEW_IMAGES, base_means, front
from src.core.errors import MetricError
from src.core.files import has_file, write_text
from src.metrics.intervals import Interval
from src.metrics.names import BASE, DIVERSITY, IDENTITY, KEPT, NEAREST, PART, PRES, PROMPT, SUBJECT
from src.reporting.charts import Row, Spec, inline_rows, to_spec, write_figure_tables
from src.reporting.comparison.study import Study
from src.reporting.templating import render_markdown, render_page
from src.reporting.texts import Texts, load_texts

# what a table has room for
COLUMNS = (IDENTITY, SUBJECT, PROMPT, PRES, KEPT, NEAREST, PART, DIVERSITY)
BEGIN, END = "<!-- comparison of methods -->", "<!-- end of the comparison -->"
LANGUAGES = ("en", "ru")


def conclusions(study: Study, texts: Texts) -> list[str]:
    """Says when to take which, in sentences.

    Args:
        study: What was found.
        texts: The words.

    Returns:
        What has most likeness and most fidelity and what cannot be told from it, which settings no other exceeds in
        both, what changes other things least, which file is smallest, and how far a small study would go wrong.
    """
    means = study.means
    label = study.quantities.label
    told = []
    for metric in (SUBJECT, PROMPT):
        best = max(means, key=lambda name: means[name][metric].mean)
        level = study.level_with(best, metric)
        of = means[best][metric]
        told.append(
            texts(
                f"methods.most.{metric}",
                best=best,
                metric=label(metric),
                mean=f"{of.mean:z.3f}",
                level=", ".join(level) if level else texts("methods.nobody"),
            )
        )
    told.append(texts("methods.front", names=", ".join(front(study.points))))
    best = max(means, key=lambda name: means[name][SUBJECT].mean)
    good = [best, *study.level_with(best, SUBJECT)]
    if all(KEPT in of for of in means.values()):
        kept = max(good, key=lambda name: means[name][KEPT].mean)
        told.append(texts("methods.kept", name=kept, metric=label(KEPT), mean=f"{means[kept][KEPT].mean:z.3f}"))
    if known := [name for name in good if name in study.costs]:
        small = min(known, key=lambda name: study.costs[name].file_mib)
        fast = min(known, key=lambda name: study.costs[name].seconds)
        told.append(texts("methods.cheap", small=small, mib=f"{study.costs[small].file_mib:z.2f}", fast=fast))
    found = study.small
    told.append(
        texts("methods.small", few=FEW_IMAGES, share=f"{found.other:z.0%}", best=found.best, gap=f"{found.gap:z.3f}")
    )
    return told


def mean_rows(study: Study) -> list[list[str]]:
    """Returns a row for each setting, by falling likeness, and the base model's.

    Args:
        study: What was found.

    Returns:
        Name, rate, runs, and mean with half its interval of each of `shown_columns`.
    """
    columns = shown_columns(study)
    ordered = sorted(study.contestants, key=lambda one: -study.means[one.name][SUBJECT].mean)
    rows = [
        [
            one.name,
            study.rates[one.name].shown,
            str(len(one.runs)),
            *(_with_half(study.means[one.name].get(column)) for column in columns),
        ]
        for one in ordered
    ]
    base = base_means(study.contestants)
    rows.append([BASE, "", "", *(f"{base[column]:z.3f}" if column in base else "–" for column in columns)])
    return rows


def shown_columns(study: Study) -> list[str]:
    """Returns the metrics that any setting has, in the order of COLUMNS."""
    return [name for name in COLUMNS if any(name in of for of in study.means.values())]


def _with_half(found: Interval | None) -> str:
    return "–" if found is None else f"{found.mean:z.3f} ± {found.high - found.mean:z.3f}"


def verdict_table(study: Study) -> dict[str, dict[str, Verdict]]:
    """Returns what the pairs say: by setting, what it is against each other one."""
    turned = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}
    table: dict[str, dict[str, Verdict]] = {one.name: {} for one in study.contestants}
    for pair in study.pairs:
        table[pair.b][pair.a] = pair.verdict
        table[pair.a][pair.b] = turned.get(pair.verdict, pair.verdict)
    return table


def _values(study: Study, texts: Texts) -> dict[str, Any]:
    if len(study.contestants) < 2:
        raise MetricError("methods: fewer than two settings have two runs yet; the same command goes on")
    quantities = study.quantities
    columns = shown_columns(study)
    return {
        "texts": texts,
        "columns": [f"{quantities.label(name)} {quantities.arrow(name)}".strip() for name in columns],
        "rows": mean_rows(study),
        "verdicts": verdict_table(study),
        "costs": study.costs,
        "small": study.small,
        "few": FEW_IMAGES,
        "tried": {name: (study.rates.get(name), tried) for name, tried in study.tried.items()},
        "conclusions": conclusions(study, texts),
        "pairs": len(study.pairs),
        "primaries": ", ".join(quantities.label(name) for name in study.pairs[0].report.primaries),
        "left_out": study.left_out,
    }


def describe_study(study: Study) -> str:
    """Returns the study as Markdown: tables in English, the conclusions in every language.

    Args:
        study: What was found.

    Returns:
        Markdown.

    Raises:
        MetricError: Too little is there, or runs may not be compared.
    """
    values = _values(study, load_texts(LANGUAGES[0]))
    others = {language: conclusions(study, load_texts(language)) for language in LANGUAGES[1:]}
    return render_markdown("methods.md.j2", others=others, **values)


def write_study(out: Path, study: Study, language: str) -> None:
    """Writes the page, and beside it the numbers of its figure as CSV.

    Args:
        out: The HTML file.
        study: What was found.
        language: Of the page.

    Raises:
        ConfigError: There are no texts in that language.
        MetricError: Too little is there, or runs may not be compared.
    """
    texts = load_texts(language)
    specs = {"plane": plane(study)}
    write_text(out, render_page("methods.html.j2", title=texts("methods.title"), specs=specs, **_values(study, texts)))
    write_figure_tables(out.with_name(f"{out.stem}_figures"), specs)


def plane(study: Study) -> Spec:
    """Draws likeness over prompt fidelity, a named point for each setting with its intervals, the front dashed.

    Args:
        study: What was found.

    Returns:
        A specification.
    """
    label = study.quantities.label
    kept = front(study.points)
    rows: list[Row] = [
        {"name": name, "front": name in kept}
        | {f"{metric}{end}": round(value, 4) for metric in (SUBJECT, PROMPT) for end, value in _ends(of[metric])}
        for name, of in study.means.items()
    ]
    x = alt.X(f"{PROMPT}:Q", title=f"{label(PROMPT)} →", scale=alt.Scale(zero=False, padding=24))
    y = alt.Y(f"{SUBJECT}:Q", title=f"{label(SUBJECT)} ↑", scale=alt.Scale(zero=False, padding=18))
    tooltip = [
        "name:N",
        *(alt.Tooltip(f"{metric}:Q", format=".4f", title=label(metric)) for metric in (SUBJECT, PROMPT)),
    ]
    every = alt.Chart(inline_rows("settings", rows)).encode(x=x, y=y, tooltip=tooltip)
    best = alt.Chart(inline_rows("front", [row for row in rows if row["front"]])).encode(x=x, y=y)
    layers = [
        best.mark_line(color="var(--muted)", strokeDash=[5, 4]).encode(order=f"{PROMPT}:Q"),
        every.mark_rule(color="var(--run)", opacity=0.5).encode(x=f"{PROMPT}_low:Q", x2=f"{PROMPT}_high:Q"),
        every.mark_rule(color="var(--run)", opacity=0.5).encode(y=f"{SUBJECT}_low:Q", y2=f"{SUBJECT}_high:Q"),
        every.mark_point(filled=True, size=90, opacity=1, color="var(--run)"),
        every.mark_text(align="left", dx=8, dy=-8, fontSize=11).encode(text="name:N"),
    ]
    return to_spec(alt.layer(*layers), height=420)


def _ends(found: Interval) -> tuple[tuple[str, float], ...]:
    return ("", found.mean), ("_low", found.low), ("_high", found.high)


def write_between(path: Path, text: str | None) -> None:
    """Replaces what stands between the marks of a Markdown file.

    Args:
        path: The file.
        text: What to put there; None looks for the marks alone.

    Raises:
        MetricError: There is no such file, or the marks are not in it.
    """
    content = path.read_text(encoding="utf-8") if has_file(path) else ""
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise MetricError(f"--into {path}: expected a file with the lines {BEGIN} and {END}")
    if text is not None:
        write_text(path, f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}")
