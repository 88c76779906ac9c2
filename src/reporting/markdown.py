"""The report as Markdown: the same tables, pictures by their paths; for a pull request or a notebook."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from src.core.files import write_text
from src.reporting.inputs import Inputs
from src.reporting.metric_page import MetricTable
from src.reporting.samples import SAMPLES, CheckpointStrip
from src.reporting.sources import load_sources
from src.reporting.summary import RunFacts, Summary
from src.reporting.templating import render_text
from src.reporting.texts import Texts

SHOWN_PROMPTS = 10


def write_markdown(
    out: Path, inputs: Inputs, facts: RunFacts, summary: Summary, sections: Mapping[str, Any], texts: Texts
) -> None:
    """Writes the report as Markdown.

    Args:
        out: The file, in a folder beside data/.
        inputs: The tables.
        facts: What was run.
        summary: The head of the page.
        sections: The sections of the page.
        texts: The words.
    """
    page = render_text(
        "report.md.j2",
        texts=texts,
        facts=facts,
        summary=summary,
        copying=sections["copying"],
        table=_table,
        film=_film,
        strip=sections["strip"],
        pictures=list(_pictures(inputs)),
        faceless=sections["faceless"],
        samples=f"../{SAMPLES}",
        metrics=sections["metrics"],
        checkpoints=sections["checkpoints"],
        specs=sections["specs"],
        sources=load_sources(),
    )
    write_text(out, page)


def _table(table: MetricTable, head: str) -> str:
    names = [f"{column} {arrow}".strip() for column, arrow in zip(table.columns, table.arrows, strict=True)]
    lines = [f"| {' | '.join([head, *names])} |", f"|{'---|' * (len(names) + 1)}"]
    for row in table.rows:
        cells = [f"**{cell.shown}**" if cell.best else cell.shown or "–" for cell in row.cells]
        name = f"**{row.name}**" if row.selected else row.name
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(lines)


def _film(strip: CheckpointStrip) -> str:
    shown = list(zip(strip.pictures, strip.paths, strict=True))
    rows = [
        [picture.label for picture, _ in shown],
        ["---"] * len(shown),
        [f"![{picture.label}, {strip.seed}](../{SAMPLES}/{path})" for picture, path in shown],
        [", ".join(f"{name} {value}" for name, value in picture.scores) for picture, _ in shown],
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _pictures(inputs: Inputs) -> Iterator[tuple[str, str, str]]:
    rows = inputs.manifest[(inputs.manifest["set"] == "test") & (inputs.manifest["seed"] == "0")]
    base = dict(rows[rows["variant"] == "base"][["prompt_id", "path"]].itertuples(index=False, name=None))
    run = rows[rows["variant"] == inputs.run_variant].head(SHOWN_PROMPTS)
    for prompt_id, prompt, path in run[["prompt_id", "prompt", "path"]].itertuples(index=False, name=None):
        if prompt_id in base:
            yield prompt, f"../{SAMPLES}/{base[prompt_id]}", f"../{SAMPLES}/{path}"
