"""Holds that paths of the pipeline are written once, in src/core/layout.py, and are those of dvc.yaml."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from src.core import layout
from src.core.closure import imported
from src.core.layout import checkpoint_name, checkpoint_step

ROOT = Path(__file__).resolve().parents[2]
PATHS = {value for value in vars(layout).values() if isinstance(value, Path)}
PLACE = re.compile(r"(data|metrics|models|outputs|tabletop|\.cache|\.train_state)/\S*")
FILES = {path.name for path in PATHS if path.suffix in (".csv", ".json")}


def literals(text):
    """Texts of a module that may be paths: neither documentation nor a sentence."""
    tree = ast.parse(text)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, documented) and ast.get_docstring(node)]
    docstrings = {id(node.body[0].value) for node in nodes}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def places(text):
    return [literal for literal in literals(text) if PLACE.fullmatch(literal) or literal in FILES]


def test_no_other_module_holds_a_path_of_the_pipeline():
    modules = [path for path in (ROOT / "src").rglob("*.py") if path != ROOT / "src/core/layout.py"]
    modules += [ROOT / "train.py", ROOT / "inference.py"]
    assert len(modules) > 150
    found = {str(path.relative_to(ROOT)): names for path in modules if (names := places(path.read_text()))}
    assert not found, "write it in src/core/layout.py"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('RAW = Path("data/raw")', ["data/raw"]),
        ('f"data/crops/{name}.png"', ["data/crops/"]),
        ('folder / "scores.csv"', ["scores.csv"]),
        ('"""Writes data/raw."""', []),
        ('print("look at data/captions.csv, or write captions.txt")', []),
        ('inputs.meta["models"]', []),
    ],
)
def test_a_path_is_told_from_words_about_it(text, found):
    assert places(text) == found


def test_every_output_of_dvc_yaml_is_one_of_the_layout():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    outputs = [out for stage in stages for kind in ("outs", "metrics", "plots") for out in stage.get(kind, ())]
    named = {Path(out if isinstance(out, str) else next(iter(out))) for out in outputs}
    assert len(named) > 15
    assert named <= PATHS


def test_a_checkpoints_name_tells_its_step_and_no_other_name_does():
    assert checkpoint_name(300) == "step-000300"
    assert [checkpoint_step(name) for name in ("step-000300", "base", "step-", "300", "step-3x")] == [300, *[None] * 4]


def test_the_product_imports_nothing_of_its_tests():
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "src").rglob("*.py")]
    assert len(modules) > 150
    assert not [module for module in modules if {"tests", "benchmarks"} & imported(module)[1]]
