"""Builds the page that people look at before they read numbers.

Reads what the earlier stages wrote under data/, metrics/ and models/adapter, and params.yaml; writes
metrics/report.html, one self-contained file, report.md with the same tables, and figures/ with the numbers of every
chart as CSV.
"""

from pathlib import Path

from src.core import layout
from src.core.app import Stage
from src.reporting.page import build_report


def main() -> None:
    """Builds the report of the project in the working directory."""
    Stage("report", lambda params: build_report(Path(), layout.REPORT, params), writes=layout.REPORT).main()


if __name__ == "__main__":
    main()
