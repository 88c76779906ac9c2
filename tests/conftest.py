import os
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
# tiny models gain nothing from threads, and several workers with two threads each stall each other
os.environ.setdefault("OMP_NUM_THREADS", "1")
from src.training.determinism import set_environment

set_environment()
pytest_plugins = ["tests.judges"]


def pytest_collection_modifyitems(items):
    """Starts with the long tests, so that two workers end together."""
    items.sort(key=lambda item: "integration/test_pipeline" not in item.nodeid)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory) -> Path:
    """Tiny models of all supported architectures."""
    from src.tiny.diffusion import build_diffusion
    from src.tiny.words import WORDS

    root = tmp_path_factory.mktemp("models")
    for kind in ("sd1", "sd2", "sdxl", "sd3"):
        build_diffusion(root / kind, kind, list(WORDS), 0)
    return root


@pytest.fixture
def load_tiny(tiny_models):
    """Loads a tiny model through the real loader."""
    import torch

    from src.models.families import load_base_model

    def load(kind: str, dtype: str = "fp32"):
        return load_base_model(str(tiny_models / kind), None, None, dtype, torch.device("cpu"))

    return load
