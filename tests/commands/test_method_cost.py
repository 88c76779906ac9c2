"""What a method costs, measured by training it for real, in small."""

import json

import pandas as pd
import pytest
import torch
from PIL import Image

from src.commands import method_cost
from src.core.config import load_stage_params
from src.models.families import load_base_model
from src.reporting.comparison.study import Cost
from tests.metrics.synthetic import write_photos
from tests.tiny.diffusion import build_diffusion
from tests.tiny.words import WORDS

SMALL = ["model=tiny", "device=cpu", "subject=toy", "train.batch_size=1"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    build_diffusion(tmp_path / "models/tiny/sd", "sd1", list(WORDS), 0)
    write_photos(tmp_path / "data")
    crops = tmp_path / "data/crops"
    files = sorted(crops.glob("*.png"))
    for file in files:
        Image.open(file).resize((64, 64)).save(file)
    pd.DataFrame({"image_id": [file.stem for file in files], "left": 0, "right": 64, "warning": ""}).to_csv(
        crops / "crops.csv", index=False
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_whole_model_trains_all_its_weights_and_lora_a_few(project, monkeypatch):
    monkeypatch.setattr(method_cost, "WARM_UP", 1)
    both = [load_stage_params("train", [*SMALL, f"method={name}"]) for name in ("dreambooth", "lora")]
    (whole, of_whole), (few, of_few) = (method_cost.measure(one, method_cost.own_photos(one), 2) for one in both)
    unet = load_base_model("models/tiny/sd", None, None, "fp32", torch.device("cpu")).pipeline.unet
    assert whole.parameters == sum(weight.numel() for weight in unet.parameters())
    assert whole.file_mib == pytest.approx(whole.parameters * 4 / 2**20, rel=0.1)
    assert 0 < few.parameters < whole.parameters / 2
    assert few.file_mib < whole.file_mib
    assert 0 < of_few < of_whole, "the weights of the base need no gradients"
    assert min(whole.seconds, few.seconds, whole.peak_mib) > 0
    # nothing of it stays
    assert not [path for path in (project / "models/adapter", project / ".train_state") if path.exists()]


def test_it_is_measured_in_a_process_of_its_own_and_a_failure_is_no_number(monkeypatch):
    class Ended:
        def __init__(self, returncode, stdout):
            self.returncode, self.stdout = returncode, stdout

    cost = Cost(10, 0.5, 100.0, 1.5)
    line = json.dumps(cost.__dict__)
    monkeypatch.setattr(method_cost.subprocess, "run", lambda *_, **__: Ended(0, f"a word before\n{line}\n"))
    assert method_cost.measure_apart(["method=lora"]) == cost
    monkeypatch.setattr(method_cost.subprocess, "run", lambda *_, **__: Ended(1, ""))
    assert method_cost.measure_apart(["method=lora"]) is None
