"""The tiny judges are small, quick, the same in every process, and written as the public ones are."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from src.core.files import sha256_tree
from tests.tiny.judges import build_judges

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judges")
    build_judges(folder, seed=3)
    return folder


def test_judges_are_small(folder):
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 15e6


def test_judges_have_the_same_bytes_in_another_process(folder, tmp_path):
    code = f"from pathlib import Path; from tests.tiny import judges; judges.build_judges(Path({str(tmp_path)!r}), 3)"
    environment = {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1", "PATH": ""}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
    assert sha256_tree(tmp_path) == sha256_tree(folder)


def test_judges_depend_on_the_seed_and_not_on_the_global_stream(folder, tmp_path):
    torch.manual_seed(123)
    build_judges(tmp_path / "same", seed=3)
    build_judges(tmp_path / "other", seed=4)
    assert sha256_tree(tmp_path / "same") == sha256_tree(folder) != sha256_tree(tmp_path / "other")


def test_judges_safetensors_have_one_metadata_key_at_most(folder):
    files = sorted(folder.rglob("*.safetensors"))
    assert len(files) == 2
    for path in files:
        with safe_open(path, "pt") as file:  # more keys come in any order
            assert file.metadata() == {"format": "pt"}


def test_judges_alexnet_needs_no_code_to_be_read(folder):
    state = torch.load(folder / "alexnet" / "alexnet.pth", weights_only=True)
    assert state["features.0.weight"].shape == (64, 3, 11, 11)
    assert all(name.startswith("features.") for name in state)
