"""What an evaluation tells the trackers: a number for each row and metric, and one picture of base beside run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from src.core import layout
from src.trackers.protocol import Tracker

# rows of details.json that are told at the chosen step, under names that every service takes as they are
ROWS = {
    "base": "base",
    "run": "run",
    "real": "real",
    "copy": "copy",
    "real (autoencoder)": "real_autoencoder",
    "copy (autoencoder)": "copy_autoencoder",
}
CELL_PX, LINE_PX = 160, 14
INK, PAPER = "black", "white"


@dataclass(frozen=True)
class GridRow:
    """A row of the grid.

    Attributes:
        label: Stands above it, for example the prompt.
        pictures: One for each column.
    """

    label: str
    pictures: tuple[Path, ...]


def report_evaluation(tracker: Tracker, details: Mapping[str, Any], grid: Image.Image) -> None:
    """Tells the trackers what was measured.

    Args:
        tracker: Gets ``evaluate/checkpoints/<metric>`` at each checkpoint's step, and ``evaluate/<row>/<metric>`` and
            the grid at the chosen one.
        details: As in details.json.
        grid: From `draw_grid`.
    """
    for name, means in sorted(details["checkpoints"].items()):
        if (step := layout.checkpoint_step(name)) is not None:
            tracker.scalars(step, {f"evaluate/checkpoints/{metric}": value for metric, value in means.items()})
    chosen = int(details["selected_step"])
    for row, told in ROWS.items():
        tracker.scalars(chosen, {f"evaluate/{told}/{metric}": value for metric, value in details[row].items()})
    tracker.images(chosen, "evaluate/samples", [grid], ["base | run"])


def draw_grid(columns: Sequence[str], rows: Sequence[GridRow]) -> Image.Image:
    """Generates pictures in rows and columns, each row under its label.

    Args:
        columns: Their heads.
        rows: With a picture for each column.

    Returns:
        RGB, CELL_PX a picture.
    """
    height = CELL_PX + LINE_PX
    sheet = Image.new("RGB", (CELL_PX * len(columns), LINE_PX + height * len(rows)), PAPER)
    pen = ImageDraw.Draw(sheet)
    for place, head in enumerate(columns):
        pen.text((place * CELL_PX + 2, 1), head, fill=INK)
    for number, row in enumerate(rows):
        top = LINE_PX + number * height
        pen.text((2, top + 1), row.label, fill=INK)
        for place, path in enumerate(row.pictures):
            with Image.open(path) as picture:
                cell = picture.convert("RGB").resize((CELL_PX, CELL_PX), Image.Resampling.LANCZOS)
            sheet.paste(cell, (place * CELL_PX, top + LINE_PX))
    return sheet
