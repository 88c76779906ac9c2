from contextlib import chdir
from functools import cache

import pytest
import torch

from src.methods.lora import LoraMethod
from src.methods.lora_files import save_adapter
from src.models.families import load_base_model
from src.stages import drawing


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
