import pytest
import safetensors.torch
import torch

from src.core.errors import ModelMismatchError
from src.models.tensors import load_tensors, save_tensors

METADATA = {"format": "pt", "a": "1", "z": "2", "m": "3"}


def test_save_tensors_round_trip_and_other_readers(tmp_path):
    tensors = {"b": torch.randn(3, 2), "a": torch.arange(5), "c": torch.randn(7).bfloat16()}
    save_tensors(tmp_path / "x.safetensors", tensors, METADATA)
    loaded, metadata = load_tensors(tmp_path / "x.safetensors")
    assert metadata == METADATA
    for found in (loaded, safetensors.torch.load_file(tmp_path / "x.safetensors")):
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[k], tensors[k]) and found[k].dtype == tensors[k].dtype for k in tensors)


def test_save_tensors_gives_the_same_bytes_every_time(tmp_path):
    files = [tmp_path / f"{i}.safetensors" for i in range(4)]
    for file in files:
        save_tensors(file, {"w": torch.ones(3)}, METADATA)
    assert len({file.read_bytes() for file in files}) == 1


def test_load_tensors_names_a_damaged_file(tmp_path):
    file = tmp_path / "x.safetensors"
    save_tensors(file, {"w": torch.ones(100)}, {})
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(ModelMismatchError, match=r"x\.safetensors"):
        load_tensors(file)
