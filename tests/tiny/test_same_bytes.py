"""What tests and models are made of has the same bytes in every process: one that starts anew, with other hashes."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from src.core.files import sha256_tree
from src.models.tensors import save_tensors
from src.models.tokenizers import build_clip_tokenizer
from tests.tiny.captioner import build_captioner
from tests.tiny.metric_models import build_metric_models

ROOT = Path(__file__).resolve().parents[2]


def build_all(folder: Path) -> None:
    build_captioner(folder / "captioner", seed=0)
    build_metric_models(folder / "metric_models", seed=3)
    build_clip_tokenizer(folder / "tokenizer", ("red", "reed", "deer", "seed"), "!", 77)
    save_tensors(folder / "x.safetensors", {"w": torch.ones(3)}, {"format": "pt", "a": "1", "z": "2", "m": "3"})


def test_models_tokenizers_and_tensors_have_the_same_bytes_in_another_process(tmp_path):
    code = "import sys; from pathlib import Path; from tests.tiny import test_same_bytes;"
    code += "test_same_bytes.build_all(Path(sys.argv[1]))"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code, tmp_path / "there"], cwd=ROOT, env=environment, check=True)
    build_all(tmp_path / "here")
    made = sorted(path.name for path in (tmp_path / "here").iterdir())
    trees = [{name: sha256_tree(tmp_path / where / name) for name in made} for where in ("here", "there")]
    assert trees[0] == trees[1]
