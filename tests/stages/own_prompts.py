"""Runs inference.py's command in this process; the fixture `own_prompts` makes the place."""

from contextlib import chdir
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from src.methods.lora import LoraMethod
from src.methods.lora_files import save_adapter
from src.models.families import load_base_model
from src.stages import drawing
from src.stages.inference import inference_stage, load_own_prompts

TINY = ("model=tiny", "device=cpu")
SMALL = (*TINY, "validation_args.num_inference_steps=2", "validation_args.batch_size=2", "seeds=1")
BEAR = "prompt=a photo of a sksToy bear"


@pytest.fixture(scope="session")
def adapters(tiny_models, tmp_path_factory):
    """A project with two adapters of one base."""
    root = tmp_path_factory.mktemp("adapters")
    (root / "models/tiny").mkdir(parents=True)
    (root / "models/tiny/sd").symlink_to(tiny_models / "sd1")
    (root / "p.txt").write_text("\ufeffa sksToy bear in the snow\n\n  a sksToy bear on a rug \n")
    for seed, name in enumerate(("models/adapter/step-000100", "other"), 1):
        model = load_base_model(str(tiny_models / "sd1"), None, None, "fp32", torch.device("cpu"))
        torch.manual_seed(seed)
        for group in LoraMethod(4, 8.0, 0.0, ["to_q", "to_v"], False, False, False, 1e-5, []).attach(model, seed):
            for parameter in group.parameters.values():
                parameter.data += 0.5 * torch.randn_like(parameter)
        save_adapter(model, root / name)
    return root


@pytest.fixture
def own_prompts(adapters, tmp_path, monkeypatch):
    """A folder with links to it; the base model is loaded once, as it is taken back to what it was."""
    monkeypatch.setattr(drawing, "load_base_model", cache(load_base_model))
    for name in ("models", "other", "p.txt"):
        (tmp_path / name).symlink_to(adapters / name)
    with chdir(tmp_path):
        yield
    torch.use_deterministic_algorithms(False)


def draw(*words, small=SMALL):
    """Runs the command; returns the manifest."""
    inference_stage(load_own_prompts("inference", [*small, *words]))
    return manifest(next((word.partition("=")[2] for word in words if word.startswith("exp.run_dir=")), "outputs"))


def manifest(run_dir="outputs"):
    return pd.read_csv(f"{run_dir}/pictures/manifest.csv", dtype=str, keep_default_na=False)


def pixels(table, run_dir="outputs"):
    return [np.asarray(Image.open(f"{run_dir}/pictures/{path}")).astype(int) for path in table["path"]]
