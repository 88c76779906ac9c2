"""The report as Markdown: the same tables, pictures by their paths; for a pull request or a notebook."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from src.core import layout
from src.core.files import write_text
from src.core.sets import TEST
from src.core.settings import Settings
from src.reporting.charts import Spec
from src.reporting.inputs import Inputs
from src.reporting.markdown_text import Markdown, escape_markdown, picture_link
from src.reporting.metric_tables import Cell, MetricTable
from src.reporting.sections.checkpoints import CheckpointStrip
from src.reporting.templating import render_markdown
from src.reporting.texts import Texts

SHOWN_PROMPTS = 10
# what is coloured on the page is bold here
COLOURED = ("better", "worse")


def write_markdown(
    out: Path, inputs: Inputs, params: Settings, built: tuple[Mapping[str, Any], Mapping[str, Spec]], texts: Texts
) -> None:
    """Writes the report as Markdown.

    Args:
        out: The file, in a folder beside data/.
        inputs: The tables.
        params: What was run.
        built: What the sections of the page show, and their charts.
        texts: The words.
    """
    (values, specs), label = built, inputs.quantities.label
    page = render_markdown(
        "report.md.j2",
        texts=texts,
        params=params,
        summary=values["summary"],
        copying=values["copying"],
        label=label,
        table=partial(_table, label=label),
        lines=partial(_lines, label=label),
        film=_film,
        strip=values["strip"],
        pictures=list(_pictures(inputs)),
        faceless=values["faceless"],
        picture_link=picture_link,
        samples=f"../{layout.SAMPLES}",
        metrics=values["metrics"],
        checkpoints=values["checkpoints"],
        specs=specs,
        sources=values["sources"],
    )
    write_text(out, page)


def _lines(table: MetricTable, head: str, label: Callable[[str], str]) -> Markdown:
    """A metric a line: a table of many columns is cut off where it is read."""
    lines = [f"| {' | '.join([head, *(row.name for row in table.rows)])} |", f"|{'---|' * (len(table.rows) + 1)}"]
    for place, (metric, arrow) in enumerate(zip(table.columns, table.arrows, strict=True)):
        cells = [_shown(row.cells[place]) for row in table.rows]
        lines.append(f"| {' | '.join([f'{escape_markdown(label(metric))} {arrow}'.strip(), *cells])} |")
    return Markdown("\n".join(lines))


def _shown(cell: Cell) -> str:
    return f"**{cell.shown}**" if cell.verdict in COLOURED else cell.shown or "–"


def _table(table: MetricTable, head: str, label: Callable[[str], str]) -> Markdown:
    names = [f"{label(column)} {arrow}".strip() for column, arrow in zip(table.columns, table.arrows, strict=True)]
    lines = [f"| {' | '.join(map(escape_markdown, [head, *names]))} |", f"|{'---|' * (len(names) + 1)}"]
    for row in table.rows:
        cells = [_shown(cell) for cell in row.cells]
        name = escape_markdown(row.name)
        lines.append(f"| {' | '.join([f'**{name}**' if row.selected else name, *cells])} |")
    return Markdown("\n".join(lines))


def _film(strip: CheckpointStrip) -> Markdown:
    shown = list(zip(strip.pictures, strip.paths, strict=True))
    rows = [
        [escape_markdown(picture.label) for picture, _ in shown],
        ["---"] * len(shown),
        [picture_link(f"{picture.label}, {strip.seed}", f"../{layout.SAMPLES}/{path}") for picture, path in shown],
        [", ".join(f"{escape_markdown(name)} {value}" for name, value in picture.scores) for picture, _ in shown],
    ]
    return Markdown("\n".join(f"| {' | '.join(row)} |" for row in rows))


def _pictures(inputs: Inputs) -> Iterator[tuple[str, Markdown, Markdown]]:
    rows = inputs.manifest[(inputs.manifest["set"] == TEST) & (inputs.manifest["seed"] == "0")]
    base = dict(rows[rows["variant"] == "base"][["prompt_id", "path"]].itertuples(index=False, name=None))
    run = rows[rows["variant"] == inputs.run_variant].head(SHOWN_PROMPTS)
    for prompt_id, prompt, path in run[["prompt_id", "prompt", "path"]].itertuples(index=False, name=None):
        if prompt_id in base:
            sides = {"base": base[prompt_id], "run": path}
            yield prompt, *(picture_link(name, f"../{layout.SAMPLES}/{own}") for name, own in sides.items())
