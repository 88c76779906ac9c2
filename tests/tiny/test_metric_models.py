"""The tiny metric models are small, quick, and written as the public ones are."""

import pytest
import torch
from safetensors import safe_open

from src.core.files import sha256_tree
from tests.tiny.metric_models import build_metric_models


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metric_models")
    build_metric_models(folder, seed=3)
    return folder


def test_metric_models_are_small(folder):
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 15e6


def test_metric_models_depend_on_the_seed_and_not_on_the_global_stream(folder, tmp_path):
    torch.manual_seed(123)
    build_metric_models(tmp_path / "same", seed=3)
    build_metric_models(tmp_path / "other", seed=4)
    assert sha256_tree(tmp_path / "same") == sha256_tree(folder) != sha256_tree(tmp_path / "other")


def test_metric_models_safetensors_have_one_metadata_key_at_most(folder):
    files = sorted(folder.rglob("*.safetensors"))
    assert len(files) == 2
    for path in files:
        with safe_open(path, "pt") as file:  # more keys come in any order
            assert file.metadata() == {"format": "pt"}


def test_metric_models_alexnet_needs_no_code_to_be_read(folder):
    state = torch.load(folder / "alexnet" / "alexnet.pth", weights_only=True)
    assert state["features.0.weight"].shape == (64, 3, 11, 11)
    assert all(name.startswith("features.") for name in state)
