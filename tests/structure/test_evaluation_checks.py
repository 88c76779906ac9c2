"""Holds docs/evaluation_checks.md to the tests that it names."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (\d+) \| [^|]+ \| (.+) \|$", re.MULTILINE)
ENTRY = re.compile(r"`([\w/]+\.py)::(\w+)`")
CHECKS = 35


def test_every_check_names_tests_that_exist():
    rows = ROW.findall((ROOT / "docs/evaluation_checks.md").read_text())
    assert [int(number) for number, _ in rows] == list(range(1, CHECKS + 1))
    for number, cell in rows:
        named = ENTRY.findall(cell)
        assert ", ".join(f"`{file}::{name}`" for file, name in named) == cell, number
        for file, name in named:
            text = (ROOT / "tests" / file).read_text()
            assert re.search(rf"^def {name}\(", text, re.MULTILINE), f"check {number}: {file} has no {name}"


def test_the_table_of_attacks_has_the_columns_that_its_benchmark_prints():
    text = (ROOT / "docs/evaluation_checks.md").read_text()
    heads = [line for line in text.splitlines() if line.startswith("| images |")]
    (header,) = re.findall(r'^HEADER = "(.+)"$', (ROOT / "benchmarks/bench_copying.py").read_text(), re.MULTILINE)
    assert heads == [header]
