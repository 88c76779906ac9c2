"""Reads the CSV tables that stages hand to each other; every cell is text, so that ids keep their zeros."""

from pathlib import Path

import pandas as pd

from src.core.errors import EmptyDatasetError
from src.core.files import has_file


def read_table(path: Path, *columns: str) -> pd.DataFrame:
    """Reads a table, every cell as text, an empty cell as "".

    Args:
        path: A CSV file that an earlier stage wrote.
        *columns: What it must have.

    Returns:
        At least one row, in file order.

    Raises:
        EmptyDatasetError: The file is missing, is no table, lacks a column or has no rows.
    """
    if not has_file(path):
        raise EmptyDatasetError(f"{path}: no such table; run the stage that writes it (`dvc repro`)")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:  # pandas' own errors and UnicodeDecodeError are of this kind
        raise EmptyDatasetError(f"{path}: expected a table in UTF-8, found something else: {error}") from error
    if missing := [column for column in columns if column not in table.columns]:
        raise EmptyDatasetError(f"{path}: no column {', '.join(missing)}, found {', '.join(table.columns)}")
    if table.empty:
        raise EmptyDatasetError(f"{path}: expected at least one row, found none")
    return table
