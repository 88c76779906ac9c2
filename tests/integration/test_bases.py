"""A base model with a transformer, three text encoders and rectified flow goes through every stage."""

import json
from pathlib import Path

import pandas as pd
import pytest
from accelerate.state import AcceleratorState
from omegaconf import OmegaConf

from src.core.config import load_config
from tests.integration.small_project import PROMPTS, SMALL, photograph, read_by, succeed
from tests.tiny.diffusion import build_diffusion
from tests.tiny.models import build_tiny
from tests.tiny.words import WORDS

SD3 = (
    "exp.config_path=prompts.yaml",
    "model=sd3",
    "model.id=models/sd3",
    "model.revision=null",
    "model.resolution=64",
    "validation_args.num_subject_only_images=2",
    "captioner=tiny",
    "metric_models=tiny",
    "train.batch_size=2",
    "train.gradient_accumulation_steps=1",
    "method.train_text_encoder=true",
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data/raw").mkdir(parents=True)
    for number in range(4):
        photograph(Path(f"data/raw/IMG_{number}.png"), number)
    Path("prompts.yaml").write_text(PROMPTS)
    build_diffusion(Path("models/sd3"), "sd3", list(WORDS), 0)
    # accelerate keeps one precision for a process
    AcceleratorState._reset_state(reset_partial_state=True)
    Path("params.yaml").write_text(OmegaConf.to_yaml(load_config([*SMALL, *SD3])))
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def test_stable_diffusion_3_goes_through_the_whole_pipeline(project):
    build_tiny()
    for stage in (
        "check",
        "convert",
        "crop",
        "caption",
        "split",
        "class_images",
        "train",
        "choose",
        "generate",
        "evaluate",
        "report",
    ):
        succeed(stage, *read_by(stage, SD3))
    tokens = pd.read_csv("metrics/tokens.csv")
    assert list(tokens["tokenizer"]) == ["tokenizer", "tokenizer_2", "tokenizer_3"]
    loss = pd.read_csv("metrics/train/loss.csv")
    assert {"lr_transformer", "lr_text_encoder", "grad_norm_transformer"} <= set(loss.columns)
    manifest = pd.read_csv("data/samples/manifest.csv")
    assert set(manifest["variant"]) == {"base", "step-000001"}
    assert manifest.groupby("variant")["sha256"].nunique().min() > 1
    assert json.loads(Path("metrics/metrics.json").read_text())["selected_step"] == 1
    report = Path("metrics/report.html").read_text()
    assert "transformer" in report
