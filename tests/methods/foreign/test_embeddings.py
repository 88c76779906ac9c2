"""Words of other tools: whose vectors they are, what they are called, and what is refused."""

import pytest
import torch
from safetensors.torch import save_file

from src.core.errors import ModelMismatchError
from src.methods.foreign.bases import check_base_of
from src.methods.foreign.opening import open_adapter
from src.methods.formats import find_format
from src.methods.textual_inversion import read_file
from src.models.tensors import save_tensors
from src.sampling.variants import list_checkpoints


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))


VECTORS = torch.arange(64.0).reshape(2, 32)
WORDS = {
    "A1111": ({"emb_params": VECTORS}, "sksToy"),
    "diffusers": ({"<toy>": VECTORS}, "<toy>"),
    "diffusers, one vector": ({"<toy>": VECTORS[0]}, "<toy>"),
}


@pytest.mark.parametrize(("tensors", "word"), WORDS.values(), ids=WORDS)
def test_words_of_other_tools_are_read(load_tiny, tiny_models, tmp_path, tensors, word):
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, tmp_path / "sksToy.safetensors")
    [variant] = list_checkpoints(tmp_path / "sksToy.safetensors")
    check_base_of(variant.folder, tiny_models / "sd1")
    model = load_tiny("sd1")
    with variant.format.applied(model, variant.folder):
        ids = model.pipeline.tokenizer(word, add_special_tokens=False)["input_ids"]
        assert torch.equal(model.pipeline.text_encoder.get_input_embeddings().weight[ids[0]], VECTORS[0])
    with pytest.raises(
        ModelMismatchError, match="sksToy: vectors of 32 numbers, and the text encoders of sdxl have 32 and 64"
    ):
        check_base_of(variant.folder, tiny_models / "sdxl")


def test_words_of_sdxl_are_read_for_both_encoders(load_tiny, tiny_models, tmp_path):
    both = {"clip_l": VECTORS, "clip_g": torch.ones(2, 64)}
    save_file(both, tmp_path / "sksToy.safetensors")
    [variant] = list_checkpoints(tmp_path / "sksToy.safetensors")
    check_base_of(variant.folder, tiny_models / "sdxl")
    variant.format.check_fit(load_tiny("sdxl"), variant.folder)
    with pytest.raises(ModelMismatchError, match="another base model"):
        check_base_of(variant.folder, tiny_models / "sd1")
    save_file(both | {"clip_l_out": torch.ones(2, 32)}, tmp_path / "sksToy.safetensors")
    with pytest.raises(ModelMismatchError, match="'clip_l_out' is none of the vectors of a word"):
        list_checkpoints(tmp_path / "sksToy.safetensors")


def test_a_word_of_sdxl_that_no_header_names_is_called_as_its_folder(load_tiny, tiny_models, tmp_path):
    folder, both = tmp_path / "sks toy", {"clip_l": VECTORS, "clip_g": torch.ones(2, 64)}
    folder.mkdir()
    save_file(both, folder / "learned_embeds.safetensors")
    for path in (folder, folder / "learned_embeds.safetensors"):
        [variant] = list_checkpoints(path)
        token, found = read_file(variant.folder)
        assert (variant.name, token) == ("sks-toy", "sks toy")
        assert all(torch.equal(found[name], both[name]) for name in both)
        check_base_of(variant.folder, tiny_models / "sdxl")
        variant.format.check_fit(load_tiny("sdxl"), variant.folder)


@pytest.mark.parametrize("spoil", [torch.Tensor.long, lambda tensor: tensor / 0, lambda tensor: tensor * torch.nan])
def test_a_word_of_no_finite_numbers_is_refused(tmp_path, spoil):
    save_file({"emb_params": spoil(VECTORS)}, tmp_path / "toy.safetensors")
    with pytest.raises(
        ModelMismatchError, match=r"toy\.safetensors: 'emb_params' holds (torch.int64|numbers that are)"
    ):
        open_adapter(tmp_path / "toy.safetensors")
    save_tensors(tmp_path / "learned_embeds.safetensors", {"toy": spoil(VECTORS)}, {"token": "toy"})
    with pytest.raises(ModelMismatchError, match=r"'toy' holds something else than finite floating point numbers"):
        find_format(tmp_path).check_file(tmp_path)


def test_a_word_of_eight_bits_is_widened(tmp_path):
    save_file({"emb_params": VECTORS.to(torch.float8_e5m2)}, tmp_path / "toy.safetensors")
    _, found = read_file(open_adapter(tmp_path / "toy.safetensors"))
    assert torch.equal(found["toy"], VECTORS.to(torch.float8_e5m2).float())
