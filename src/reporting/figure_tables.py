"""The numbers behind the figures, as CSV: what a chart shows can be drawn again elsewhere."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from src.core.files import replaced_folder, write_csv
from src.reporting.charts import Row, Spec


def write_figure_tables(folder: Path, specs: Mapping[str, Spec]) -> None:
    """Writes a file for each set of data in each chart, ``<chart>-<data>.csv``.

    Args:
        folder: Is replaced.
        specs: The charts by name.
    """
    with replaced_folder(folder) as new:
        for chart, spec in sorted(specs.items()):
            for name, rows in dict(_tables(spec)).items():
                write_csv(new / f"{chart}-{name}.csv", pd.DataFrame(rows))


def _tables(part: Any) -> Iterator[tuple[str, list[Row]]]:
    if isinstance(part, list):
        for item in part:
            yield from _tables(item)
    elif isinstance(part, Mapping):
        data = part.get("data")
        if isinstance(data, Mapping) and "values" in data:
            yield str(data["name"]), list(data["values"])
        for key, item in part.items():
            if key != "data":
                yield from _tables(item)
