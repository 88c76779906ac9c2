"""Reads the CSV tables that stages hand to each other; every cell is text, so that ids keep their zeros."""

from pathlib import Path

import pandas as pd

from src.core.errors import EmptyDatasetError


def read_table(path: Path) -> pd.DataFrame:
    """Reads a table, every cell as text, an empty cell as "".

    Args:
        path: A CSV file that an earlier stage wrote.

    Returns:
        At least one row, in file order.

    Raises:
        EmptyDatasetError: The file is missing or has no rows.
    """
    if not path.is_file():
        raise EmptyDatasetError(f"{path}: no such table; run the stage that writes it (`dvc repro`)")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if table.empty:
        raise EmptyDatasetError(f"{path}: expected at least one row, found none")
    return table
