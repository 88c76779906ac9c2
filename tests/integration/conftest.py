"""Finished projects; and one to spoil, with a stage that must refuse it."""

import re
import shutil
from contextlib import chdir

import pytest
import torch

from tests.integration.project import finished_project, made_once, run
from tests.integration.small_project import PROMPTS, PROMPTS_FILE, command_line, hashes, photograph, succeed
from tests.integration.warm import run_warm
from tests.tiny.models import build_tiny


@pytest.fixture(scope="session")
def first_copy(shared):
    """A clean copy after its first `dvc repro`, and its dvc.lock then."""
    return finished_project(shared, "first", lambda project: run(project, "dvc", "repro"))


@pytest.fixture(scope="session")
def second_copy(shared):
    """The same in another folder, by processes that do not start from nothing."""
    return finished_project(shared, "a-second-copy", lambda project: run_warm(project, "dvc", "repro"))


@pytest.fixture(scope="session")
def finished(shared):
    """A project of four photos after every stage."""
    return made_once(shared, "finished", run_every_stage)


def run_every_stage(folder):
    (folder / "data/raw").mkdir(parents=True)
    for number in range(4):
        photograph(folder / f"data/raw/IMG_{number}.png", number)
    (folder / "prompts.yaml").write_text(PROMPTS)
    with chdir(folder):
        build_tiny()
        for stage in ("convert", "crop", "caption", "split", "class_images", "train"):
            succeed(stage)
        succeed("choose", PROMPTS_FILE)
        succeed("generate", PROMPTS_FILE)
        succeed("evaluate")


@pytest.fixture
def spoiled(finished, tmp_path, monkeypatch):
    """A copy to spoil; the tiny models are linked."""
    shutil.copytree(finished, tmp_path / "p", ignore=shutil.ignore_patterns("tiny"))
    (tmp_path / "p/models/tiny").symlink_to(finished / "models/tiny")
    monkeypatch.chdir(tmp_path / "p")
    yield tmp_path / "p"
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def no_model(monkeypatch):
    """Loading a diffusion model, a captioner or a metric model is a failure."""
    import diffusers
    import transformers

    from src.features.store import FeatureStore

    def refuse(*_, **__):
        raise AssertionError("a model was loaded before the input was refused")

    monkeypatch.setattr(diffusers.DiffusionPipeline, "from_pretrained", refuse)
    monkeypatch.setattr(transformers.BlipForConditionalGeneration, "from_pretrained", refuse)
    monkeypatch.setattr(FeatureStore, "extractor", refuse)


@pytest.fixture
def refused(spoiled, capsys):
    """Runs a stage that must fail; returns its message."""

    def check(stage: str, *overrides: str) -> str:
        before = hashes(spoiled)
        capsys.readouterr()
        with command_line(stage, *overrides) as module, pytest.raises(SystemExit) as stop:
            module.main()
        message = capsys.readouterr().err
        assert stop.value.code == 1
        assert message.startswith(f"{stage}: ")
        assert "Traceback" not in message
        assert "full_key" not in message
        assert hashes(spoiled) == before
        assert not [p.name for p in (spoiled / "data").iterdir() if re.match(r"\.\w+\.", p.name)]
        return message

    return check
