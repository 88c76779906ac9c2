"""Curves of a training, a row of named numbers each: as a file, and for trackers. Both loops take them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from src.core.files import write_csv
from src.training.state import Row

if TYPE_CHECKING:
    from src.trackers.protocol import Tracker


def write_curve(path: Path, rows: Sequence[Row]) -> None:
    """Writes a curve: the step, then the other columns of its first row in alphabetical order."""
    columns = ["step", *sorted(set(rows[0]) - {"step"})]
    write_csv(path, pd.DataFrame(rows)[columns].astype({"step": int}))


def report_rows(tracker: "Tracker", rows: Sequence[Row]) -> None:
    """Passes rows on to trackers, each number as ``train/NAME`` at the row's step."""
    for row in rows:
        tracker.scalars(int(row["step"]), {f"train/{name}": value for name, value in row.items() if name != "step"})
