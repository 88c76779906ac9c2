import os
import subprocess
import sys

import pytest
import torch

from benchmarks.bench_real_size import SETTINGS, main, report
from benchmarks.real_bases import build
from src.core.digest import CONFIGS
from src.models.base import denoiser
from src.models.flux import Flux
from src.models.quantized import text_parts
from src.models.sd import StableDiffusion
from src.models.sd3 import StableDiffusion3
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


@pytest.mark.parametrize("name", ["tiny3", "tinyflux"])
def test_bases_of_flows_are_timed_without_a_loop_of_others(name, tmp_path):
    (setting,) = SETTINGS[name]
    line = report(name, setting, tmp_path)
    assert line.startswith(f"{name} Setting(base='fp32'")
    assert line.endswith(" GiB, the same bytes twice")


# of the published files; of T5-XXL the encoder alone
@pytest.mark.parametrize(
    ("name", "millions", "text_millions"),
    [
        ("sd15", 859.5, 85.1),
        ("sd21", 865.9, 289.8),
        ("sdxl", 2567.5, 716.5),
        ("sd3", 2243.2, 5479.4),
        ("flux_dev", 11901.4, 4847.4),
    ],
)
def test_real_sizes_are_those_of_the_published_models(name, millions, text_millions):
    model = build(name, "bf16", torch.device("meta"))
    assert sum(value.numel() for value in denoiser(model).parameters()) / 1e6 == pytest.approx(millions, abs=0.1)
    texts = [getattr(model.pipeline, part) for part in text_parts(model)]
    # CLIPs have the words of the tests alone
    words = sum(text.get_input_embeddings().weight.numel() for text in texts if "T5" not in type(text).__name__)
    found = sum(value.numel() for text in texts for value in text.parameters())
    assert (found - words) / 1e6 == pytest.approx(text_millions, abs=0.1)


@pytest.mark.parametrize(
    ("name", "family", "encoders"),
    [
        ("tiny15", StableDiffusion, 1),
        ("tinyxl", StableDiffusionXL, 2),
        ("tiny3", StableDiffusion3, 3),
        ("tinyflux", Flux, 2),
    ],
)
def test_toy_sizes_have_the_parts_of_the_real_ones(name, family, encoders):
    model = build(name, "fp32", torch.device("cpu"))
    assert (type(model), len(text_parts(model))) == (family, encoders)


def test_real_sizes_are_refused_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="at the size of sd15 a processor is no use"):
        main(["sd15"])
    with pytest.raises(
        SystemExit, match="sd16: expected sd15, sd21, sdxl, sd3, flux_dev, tiny15, tinyxl, tiny3, tinyflux"
    ):
        main(["sd16"])
