"""Several subjects as Markdown, page and CSV: each one, the means over them, and one setting against another."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from src.comparison.subjects import Paired, SubjectResult, over_subjects, paired
from src.core.errors import MetricError
from src.core.files import write_csv, write_text
from src.metrics.intervals import Interval
from src.metrics.names import BASE
from src.metrics.quantities import Quantities
from src.reporting.pictures import Picture
from src.reporting.templating import render_markdown, render_page
from src.reporting.texts import Texts, load_texts

IDENTIFYING = ["subject", "class_name", "variant", "reason"]
RUN = "run"
# of a picture: a photo, not generated
HELD_OUT = "held out"


def results_table(results: Sequence[SubjectResult]) -> pd.DataFrame:
    """Returns two rows a subject, its adapter's and base's, and one of a subject that failed.

    Args:
        results: Of each subject.

    Returns:
        Columns IDENTIFYING, then a column for each metric.
    """
    rows: list[dict[str, Any]] = []
    for one in results:
        named = {"subject": one.name, "class_name": one.kind}
        sides = {RUN: one.means, BASE: one.base} if not one.reason else {RUN: {}}
        rows += [{**named, "variant": side, "reason": one.reason, **values} for side, values in sides.items()]
    return pd.DataFrame(rows)


def means_of(content: bytes) -> dict[str, dict[str, float]]:
    """Reads the adapters' means by subject and metric out of a table that `write_subjects` wrote.

    Args:
        content: The CSV.

    Returns:
        Subjects that failed are left out.

    Raises:
        MetricError: It is another table.
    """
    try:
        # a subject may be called NA or null; of the rest an empty field is no value
        text = dict.fromkeys(IDENTIFYING, str)
        table = pd.read_csv(io.BytesIO(content), dtype=text, keep_default_na=False, na_values=[""])
        rows = table[(table["variant"] == RUN) & table["reason"].isna()].set_index("subject")
        values = rows.drop(columns=[name for name in IDENTIFYING if name in rows]).astype(float)
    except (ValueError, KeyError) as error:
        raise MetricError(f"expected a table of subjects: {error}") from error
    return {
        str(name): {str(metric): float(value) for metric, value in row.dropna().items()}
        for name, row in values.iterrows()
    }


def describe_subjects(
    results: Sequence[SubjectResult], quantities: Quantities, before: Mapping[str, Mapping[str, float]]
) -> str:
    """Returns the table as Markdown.

    Args:
        results: Of each subject.
        quantities: What the numbers mean.
        before: Means by subject and metric of another setting; empty for none.

    Returns:
        Markdown.
    """
    return render_markdown("subjects.md.j2", **_values(results, quantities, before, load_texts("en")))


def write_subjects(
    files: tuple[Path, Path],
    results: Sequence[SubjectResult],
    quantities: Quantities,
    before: Mapping[str, Mapping[str, float]],
    pictures: Mapping[str, Sequence[Picture]],
    language: str,
) -> None:
    """Writes table and page.

    Args:
        files: The CSV and the HTML file.
        results: Of each subject.
        quantities: What the numbers mean.
        before: As of `describe_subjects`.
        pictures: Of each subject: a photo, base model, adapter.
        language: Of the page.

    Raises:
        ConfigError: There are no texts in that language.
    """
    texts = load_texts(language)
    table, page = files
    write_csv(table, results_table(results))
    values = _values(results, quantities, before, texts)
    write_text(
        page, render_page("subjects.html.j2", title=texts("subjects.title"), specs={}, pictures=pictures, **values)
    )


def _values(
    results: Sequence[SubjectResult], quantities: Quantities, before: Mapping[str, Mapping[str, float]], texts: Texts
) -> dict[str, Any]:
    good = [one for one in results if not one.reason]
    columns = quantities.order({name for one in good for name in one.means})
    nouns = sorted({one.kind for one in good})
    groups = {noun: [one for one in good if one.kind == noun] for noun in nouns} if len(nouns) > 1 else {}
    compared = paired(before, {one.name: one.means for one in good})
    return {
        "texts": texts,
        "columns": {name: f"{quantities.label(name)} {quantities.arrow(name)}".strip() for name in columns},
        "rows": [(one, [_number(one.means.get(name)) for name in columns]) for one in good],
        "failed": [one for one in results if one.reason],
        "means": _means(good, columns, lambda one: one.means),
        "base": _means(good, columns, lambda one: one.base),
        "groups": {noun: _means(of, columns, lambda one: one.means) for noun, of in groups.items() if len(of) > 1},
        "compared": {quantities.label(name): _pair(compared[name]) for name in columns if name in compared},
    }


def _means(of: Sequence[SubjectResult], columns: Sequence[str], side: Any) -> list[str]:
    values = [side(one) for one in of]
    found = over_subjects(values)
    counts = [sum(name in of_one for of_one in values) for name in columns]
    # a mean over fewer of them says so
    told = [f", {count} of {len(of)}" if 1 < count < len(of) else "" for count in counts]
    return [f"{_interval(found.get(name))}{more}" for name, more in zip(columns, told, strict=True)]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:z.3f}"


def _interval(found: Interval | None) -> str:
    return "–" if found is None else f"{found.mean:z.3f} ± {found.high - found.mean:z.3f}"


def _pair(found: Paired) -> tuple[str, str, int]:
    return f"{_interval(found.interval)}", f"{found.p:.3g}", found.subjects
