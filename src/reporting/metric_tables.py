"""Rows of metrics as a table, for every page that has one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from src.metrics.names import DIVERSITY, FACE_RATE, IDENTITY, NEAREST, PROMPT, SUBJECT
from src.metrics.quantities import Quantities

# what is shown before the rest is unfolded
HEADLINES = (IDENTITY, FACE_RATE, SUBJECT, PROMPT, DIVERSITY, NEAREST)
SHOWN_WITHOUT_HEADLINES = 3


@dataclass(frozen=True)
class Cell:
    """A value of a table.

    Attributes:
        exact: As in details.json, or empty when there is none.
        shown: Rounded for the eye.
        verdict: Of its difference to what it is compared with, see `verdict`; empty where there is no interval.
    """

    exact: str
    shown: str
    verdict: str


@dataclass(frozen=True)
class TableRow:
    """A named row of cells; `selected` marks the selected checkpoint."""

    name: str
    cells: tuple[Cell, ...]
    selected: bool


@dataclass(frozen=True)
class MetricTable:
    """Rows by metrics.

    Attributes:
        columns: Metric names.
        arrows: ``↑``, ``↓`` or empty by column.
        rows: The rows.
    """

    columns: tuple[str, ...]
    arrows: tuple[str, ...]
    rows: tuple[TableRow, ...]


def headline_metrics(columns: Sequence[str]) -> tuple[str, ...]:
    """Returns the metrics that are shown first: those of HEADLINES, or the first ones where there is none of them."""
    return tuple(name for name in HEADLINES if name in columns) or tuple(columns[:SHOWN_WITHOUT_HEADLINES])


def narrowed(table: MetricTable) -> MetricTable:
    """Returns a table with the columns alone that are shown first."""
    places = [table.columns.index(name) for name in headline_metrics(table.columns)]
    return MetricTable(
        columns=tuple(table.columns[place] for place in places),
        arrows=tuple(table.arrows[place] for place in places),
        rows=tuple(replace(row, cells=tuple(row.cells[place] for place in places)) for row in table.rows),
    )


def metric_table(
    rows: Mapping[str, Mapping[str, Any]],
    verdicts: Mapping[str, Mapping[str, str]],
    quantities: Quantities,
    selected: str,
) -> MetricTable:
    """Lays rows of metrics out as a table.

    Args:
        rows: Values by metric, by row name.
        verdicts: What the intervals of differences bear out by metric, by row name; the rest is not coloured.
        quantities: What the numbers mean.
        selected: The row to set apart.

    Returns:
        The table; a metric that a row lacks is an empty cell.
    """
    columns = quantities.order(metric for means in rows.values() for metric in means)
    return MetricTable(
        columns=tuple(columns),
        arrows=tuple(quantities.arrow(column) for column in columns),
        rows=tuple(
            TableRow(
                name=name,
                cells=tuple(to_cell(means.get(column), verdicts.get(name, {}).get(column, "")) for column in columns),
                selected=name == selected,
            )
            for name, means in rows.items()
        ),
    )


def to_cell(value: float | None, said: str) -> Cell:
    """Prints a value, or nothing where there is none."""
    if value is None:
        return Cell("", "", "")
    return Cell(exact=repr(float(value)), shown=f"{value:z.4f}", verdict=said)
