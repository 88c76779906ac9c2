"""Fixtures: tiny judges, built once, and synthetic images."""

from pathlib import Path

import pytest

from src.features.clip import ClipJudge
from src.features.dino import DinoJudge
from src.features.lpips import LpipsJudge
from src.features.store import FeatureStore, ImageFile
from tests.metrics.synthetic import write_images
from tests.tiny.judges import build_judges


@pytest.fixture(scope="session")
def judges_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("judges")
    build_judges(folder, seed=0)
    return folder


@pytest.fixture(scope="session")
def clip_judge(judges_folder) -> ClipJudge:
    folder = judges_folder / "clip"
    return ClipJudge(
        "tiny", "a tiny CLIP", f"local-dir:{folder}", True, str(folder), None, "open_clip_model.safetensors", None, None
    )


@pytest.fixture(scope="session")
def dino_judge(judges_folder) -> DinoJudge:
    folder = judges_folder / "dino"
    return DinoJudge(
        "tiny", "a tiny DINO", f"local-dir:{folder}", 32, 28, False, str(folder), None, "model.safetensors", None, None
    )


@pytest.fixture(scope="session")
def lpips_judge(judges_folder) -> LpipsJudge:
    return LpipsJudge("tiny", "a tiny LPIPS", 64, str(judges_folder / "alexnet"), None, "alexnet.pth", None, None)


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> list[ImageFile]:
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture
def store() -> FeatureStore:
    return FeatureStore(batch_size=3, device="cpu")
