"""Pipes, devices and sockets where files belong: refused by name, where opening them would wait for ever."""

import os

import pytest

from src.core.checkpoint_config import recorded_overrides
from src.core.config import load_config
from src.core.errors import MissingModelError, NotAFileError
from src.core.files import has_file
from src.core.tables import read_table
from src.core.weights import find_model, find_weight_file
from src.data.caption_file import read_captions
from src.methods.lora_files import read_adapter
from src.pretraining.alignment import Alignment
from src.pretraining.sampling import load_sampler, load_vae
from src.pretraining.start import load_narrower, load_start
from src.sampling.prompts import load_prompts
from src.sampling.variants import list_checkpoints
from src.tabletop.classifier import load_classifier

WEIGHTS = "pytorch_lora_weights.safetensors"
READERS = {
    "captions.txt": lambda folder: read_captions(folder, ["captions.txt"]),
    "f.yaml": lambda folder: load_config([f"exp.config_path={folder}/f.yaml"]),
    "prompts.txt": lambda folder: load_prompts(
        {"file": f"{folder}/prompts.txt", "subject_name": "x", "live_classes": [], "dev_every": 2}
    ),
    "table.csv": lambda folder: read_table(folder / "table.csv"),
    "config.yaml": lambda folder: recorded_overrides([f"inferencer.ckpt_dir={folder}"]),
    WEIGHTS: read_adapter,
    f"step-000001/{WEIGHTS}": list_checkpoints,
    "tokenizer/merges.txt": lambda folder: find_model(str(folder), None),
    "unet/config.json": lambda folder: find_model(str(folder), None),
    "model.pth": lambda folder: find_weight_file(str(folder), None, "model.pth", None),
    "config.json": lambda folder: load_vae(folder, "cpu"),
}


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_in_the_place_of_a_file_is_refused_by_name(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(NotAFileError, match=f"{name}: a pipe, expected a regular file"):
        READERS[name](tmp_path)


LOADERS = {
    "autoencoder": lambda folder: load_vae(folder, "cpu"),
    "model from noise": lambda folder: load_sampler(folder, "no", "cpu"),
    "reader": lambda folder: load_classifier(folder, "cpu"),
    "start": lambda folder: load_start(folder, {"unet": None}),
    "narrower start": lambda folder: load_narrower(folder, None, same=False),
    "encoder": lambda folder: Alignment(str(folder), 1.0),
}


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_every_loader_looks_for_the_model_and_for_what_would_hang_it(tmp_path, load):
    with pytest.raises(MissingModelError, match=str(tmp_path)):
        load(tmp_path)
    os.mkfifo(tmp_path / "weights.safetensors")
    with pytest.raises(NotAFileError, match=r"weights\.safetensors: a pipe"):
        load(tmp_path)


def test_every_kind_is_named(tmp_path):
    assert not has_file(tmp_path / "nothing")
    with pytest.raises(NotAFileError, match="a folder"):
        has_file(tmp_path)
    (tmp_path / "null").symlink_to("/dev/null")
    with pytest.raises(NotAFileError, match="null: a device"):
        has_file(tmp_path / "null")
