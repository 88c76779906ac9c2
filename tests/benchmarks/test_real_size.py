import os
import subprocess
import sys

import pytest
import torch

from benchmarks.bench_real_size import SETTINGS, build, main
from benchmarks.real_sizes import SIZES
from src.core.digest import CONFIGS
from src.models.base import text_encoders
from src.models.sdxl import StableDiffusionXL

ROOT = CONFIGS.parent


@pytest.mark.slow
def test_dry_run_of_real_sizes_at_toy_size(tmp_path):
    done = subprocess.run(
        ["bash", str(ROOT / "benchmarks/real_size.sh"), "--dry-run"],
        env={**os.environ, "PYTHON": sys.executable, "OUT": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (tmp_path / "real_size.log").read_text().splitlines()
    timed = [line for line in lines if "s an update" in line]
    assert len(timed) == len(SETTINGS["tiny15"]) + len(SETTINGS["tinyxl"])
    assert all("diffusers' loop" in line and line.endswith(", the same bytes twice") for line in timed)
    assert len([line for line in lines if "s an image" in line]) == 3


@pytest.mark.parametrize(("name", "millions"), [("sd15", 859.5), ("sdxl", 2567.5)])
def test_real_sizes_are_those_of_the_published_models(name, millions):
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**SIZES[name].unet)
    assert sum(value.numel() for value in unet.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)


@pytest.mark.parametrize(("name", "is_xl"), [("tiny15", False), ("tinyxl", True)])
def test_toy_sizes_have_the_parts_of_the_real_ones(name, is_xl):
    model = build(name, "fp32", torch.device("cpu"))
    assert (isinstance(model, StableDiffusionXL), len(text_encoders(model))) == (is_xl, 2 if is_xl else 1)


def test_real_sizes_are_refused_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="at the size of sd15 a processor is no use"):
        main(["sd15"])
    with pytest.raises(SystemExit, match="sd16: expected sd15, sdxl, tiny15, tinyxl"):
        main(["sd16"])
