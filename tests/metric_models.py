"""Fixtures: tiny metric models, built once, and synthetic images."""

from pathlib import Path

import pytest

from src.features.clip import ClipModel
from src.features.dino import DinoModel
from src.features.lpips import LpipsModel
from src.features.store import FeatureStore, ImageFile
from tests.metrics.synthetic import write_images
from tests.tiny.metric_models import build_metric_models


@pytest.fixture(scope="session")
def metric_models_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("metric_models")
    build_metric_models(folder, seed=0)
    return folder


@pytest.fixture(scope="session")
def clip_model(metric_models_folder) -> ClipModel:
    folder = metric_models_folder / "clip"
    return ClipModel(
        "tiny", "a tiny CLIP", f"local-dir:{folder}", True, str(folder), None, "open_clip_model.safetensors", None, None
    )


@pytest.fixture(scope="session")
def dino_model(metric_models_folder) -> DinoModel:
    folder = metric_models_folder / "dino"
    return DinoModel(
        "tiny", "a tiny DINO", f"local-dir:{folder}", 32, 28, False, str(folder), None, "model.safetensors", None, None
    )


@pytest.fixture(scope="session")
def lpips_model(metric_models_folder) -> LpipsModel:
    return LpipsModel(
        "tiny", "a tiny LPIPS", 64, str(metric_models_folder / "alexnet"), None, "alexnet.pth", None, None
    )


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> list[ImageFile]:
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture
def store() -> FeatureStore:
    return FeatureStore(batch_size=3, device="cpu")
