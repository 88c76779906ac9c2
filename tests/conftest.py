import gc
import os
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest

# it finds nothing while packages are imported, in a fifth of the time of that
gc.disable()
os.environ["HF_HUB_OFFLINE"] = "1"
# tiny models gain nothing from threads, and several workers with two threads each stall each other
os.environ.setdefault("OMP_NUM_THREADS", "1")
from src.training.determinism import set_environment  # noqa: E402
from tests.tiny.models import register_choices  # noqa: E402

set_environment()
register_choices()
pytest_plugins = ["tests.metric_models", "tests.stages.own_prompts"]


# the longest files, so that two workers end together; what the first makes, the third is not to wait for
LONGEST = ("integration/test_pipeline", "docs/test_documented_commands", "integration/test_interruptions")
LONGEST += ("training/test_every_method", "training/test_loop", "methods/test_lora", "commands/test_tabletop_minutes")


def pytest_collection_modifyitems(items):
    """Starts with the longest files."""
    items.sort(key=lambda item: [name not in item.nodeid for name in LONGEST])


def pytest_collection_finish():
    """Starts the garbage collector, for what the tests make."""
    gc.freeze()
    gc.enable()


def pytest_sessionfinish():
    """Hands it what was imported, for an orderly end: libraries complain about what they still find then."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder of all processes that run these tests."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def published(shared) -> Path:
    """A folder with models/tabletop, as `dvc pull` makes it in a fresh clone; nobody may change it."""
    from tests.integration.project import made_once, pull_models

    return made_once(shared, "published", pull_models)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory) -> Path:
    """Tiny models of all supported architectures."""
    from tests.tiny.diffusion import build_diffusion
    from tests.tiny.words import WORDS

    root = tmp_path_factory.mktemp("models")
    for kind in ("sd1", "sd2", "sdxl", "sd3", "flux"):
        build_diffusion(root / kind, kind, list(WORDS), 0)
    return root


@pytest.fixture
def load_tiny(tiny_models):
    """Gives a copy of a tiny model that the real loader has loaded."""

    def load(kind: str, dtype: str = "fp32"):
        return deepcopy(load_once(tiny_models / kind, dtype))

    return load


@cache
def load_once(folder: Path, dtype: str):
    import torch

    from src.models.families import load_base_model

    return load_base_model(str(folder), None, None, dtype, torch.device("cpu"))
