"""What an adapter's file or folder is taken for, what is refused and in which words, and what is kept."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from src.core import layout
from src.core.errors import ModelMismatchError, NotAFileError
from src.core.files import sha256_file, sha256_tree
from src.core.single_file import read_contents
from src.methods.foreign.bases import check_base_of
from src.methods.foreign.opening import adapter_name, open_adapter
from src.methods.formats import find_format
from src.methods.lora_files import WEIGHTS, read_adapter, save_adapter, start_adapter
from src.methods.textual_inversion import read_file
from src.models.tensors import load_tensors, save_tensors
from src.sampling.variants import Variant, chosen_checkpoint, list_checkpoints
from src.stages.train import starting_files
from tests.methods.foreign.layouts import LAYOUTS, updates_of
from tests.methods.foreign.test_embeddings import VECTORS
from tests.methods.foreign.test_layouts import write
from tests.methods.test_lora import method, predict, trained
from tests.tiny.single_file import write_single_file


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))
    return tmp_path / "root" / layout.ADAPTER_CACHE


@pytest.fixture
def kohya(load_tiny, tmp_path):
    return write(tmp_path / "kohya", LAYOUTS["kohya, names of diffusers"][0](updates_of(load_tiny("sd1"))))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("My toy (v2).safetensors", "My-toy-v2"),
        ("..hidden.safetensors", "hidden"),
        ("_toy (.safetensors", "toy"),
        ("дом.safetensors", "adapter"),
        ("a" * 200 + ".safetensors", "a" * 80),
        ("v1.5", "v1.5"),
    ],
)
def test_a_files_name_becomes_one_for_folders_and_tables(tmp_path, file, name):
    assert adapter_name(tmp_path / file) == name
    assert layout.is_checkpoint_name(name)


@pytest.mark.parametrize("name", ["base", "real", "copy"])
def test_no_adapter_is_called_as_another_row_of_the_tables(load_tiny, kohya, tmp_path, name):
    save_adapter(trained(load_tiny, "sd1", False, False), tmp_path / name)
    file = kohya.rename(kohya.with_name(f"{name}.safetensors"))
    assert [list_checkpoints(path)[0].name for path in (tmp_path / name, file)] == [f"adapter-{name}"] * 2


def test_a_file_is_listed_as_a_checkpoint_of_its_name(kohya):
    [variant] = list_checkpoints(kohya)
    assert (variant.name, variant.format.files) == ("My-adapter-v2", (WEIGHTS,))
    assert starting_files(kohya) == [variant.folder / WEIGHTS]
    assert chosen_checkpoint(kohya) == variant == chosen_checkpoint(kohya.parent)
    assert variant.digest == sha256_file(variant.folder / WEIGHTS)


def test_what_is_kept_is_found_again_and_made_anew_without_a_byte_of_difference(kohya, cache):
    folder = open_adapter(kohya)
    before, at = sha256_tree(folder), (folder / WEIGHTS).stat().st_mtime_ns
    assert (open_adapter(kohya), (folder / WEIGHTS).stat().st_mtime_ns) == (folder, at)
    shutil.rmtree(cache)
    assert sha256_tree(open_adapter(kohya)) == before
    tensors, metadata = load_tensors(kohya)
    save_tensors(kohya, {name: tensor * 2 for name, tensor in tensors.items()}, metadata)
    assert open_adapter(kohya).parent != folder.parent


def test_own_checkpoints_are_taken_where_they_lie(load_tiny, tmp_path, cache):
    save_adapter(trained(load_tiny, "sd1", True, False), tmp_path / "step-000010")
    folder = tmp_path / "step-000010"
    assert open_adapter(folder) == open_adapter(folder / WEIGHTS) == folder
    assert list_checkpoints(tmp_path) == list_checkpoints(folder) == [Variant("step-000010", folder)]
    renamed = tmp_path / "toy.safetensors"
    shutil.copyfile(folder / WEIGHTS, renamed)
    assert sha256_file(open_adapter(renamed) / WEIGHTS) == sha256_file(folder / WEIGHTS)
    assert len(list(cache.iterdir())) == 1


def test_training_goes_on_from_a_foreign_file_of_its_rank_and_alpha(load_tiny, tmp_path):
    model = trained(load_tiny, "sd1", False, False)
    save_adapter(model, tmp_path / "own")
    tensors, _ = read_adapter(tmp_path / "own")
    foreign = {}
    for name, tensor in tensors.items():
        layer, side = name.removeprefix("unet.").split(".lora_")
        key = f"lora_unet_{layer.replace('.', '_')}"
        foreign[f"{key}.lora_{'down' if side[0] == 'A' else 'up'}.weight"] = tensor
        foreign[f"{key}.alpha"] = torch.tensor(8.0)
    save_tensors(tmp_path / "foreign.safetensors", foreign, {})
    fresh, other = load_tiny("sd1"), load_tiny("sd1")
    method().attach(fresh, seed=2)
    start_adapter(fresh, open_adapter(tmp_path / "foreign.safetensors"))
    torch.testing.assert_close(predict(fresh), predict(model), rtol=0, atol=0)
    method(alpha=2.0).attach(other, seed=2)
    with pytest.raises(ModelMismatchError, match="unet has alpha 8, `method` trains with 2"):
        start_adapter(other, open_adapter(tmp_path / "foreign.safetensors"))


REFUSED = [
    ("toy.pt", b"\x80\x02", r"toy\.pt: a pickle, which may run code when it is read"),
    ("toy.ckpt", b"\x80\x02", r"toy\.ckpt: a pickle"),
    ("toy.bin", b"\x80\x02", r"toy\.bin: a pickle"),
    ("toy.safetensors", b"\x80\x02" * 20, r"toy\.safetensors: "),
    ("toy.txt", b"", r"toy\.txt: expected an adapter's \.safetensors file, or a folder"),
]


@pytest.mark.parametrize(("name", "content", "message"), REFUSED)
def test_other_files_are_refused_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelMismatchError, match=message) as caught:
        list_checkpoints(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_pipe_is_refused_and_what_is_not_there_too(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(NotAFileError, match="a pipe, expected a regular file"):
        open_adapter(tmp_path / "pipe.safetensors")
    with pytest.raises(ModelMismatchError, match=r"none\.safetensors: expected an adapter's"):
        list_checkpoints(tmp_path / "none.safetensors")


def test_a_folder_of_several_files_asks_for_one(kohya):
    shutil.copyfile(kohya, kohya.with_name("b.safetensors"))
    with pytest.raises(ModelMismatchError, match=r"holds 2 \.safetensors files; name one of them"):
        open_adapter(kohya.parent)


@pytest.mark.parametrize("name", [WEIGHTS, "adapter_model.safetensors", "learned_embeds.safetensors"])
def test_a_named_file_is_taken_whatever_lies_beside_it(load_tiny, tmp_path, name):
    folder = tmp_path / "toy"
    if name == WEIGHTS:
        write(folder, LAYOUTS["kohya, names of diffusers"][0](updates_of(load_tiny("sd1")))).rename(folder / name)
    elif name == "adapter_model.safetensors":
        folder = write(folder, LAYOUTS["peft's folder"][0](updates_of(load_tiny("sd1"))))
    else:
        folder.mkdir()
        save_file({"<toy>": VECTORS}, folder / name)
    alone = sha256_tree(open_adapter(folder / name))
    save_file({"emb_params": VECTORS}, folder / "other.safetensors")
    assert sha256_tree(open_adapter(folder / name)) == alone
    with pytest.raises(ModelMismatchError, match=r"holds 2 \.safetensors files; name one of them"):
        open_adapter(folder)


def test_a_word_is_of_its_files_name_also_where_folders_take_no_difference(tmp_path):
    words = ["sks toy", "sks-toy"]
    for word in words:
        save_file({"emb_params": VECTORS}, tmp_path / f"{word}.safetensors")
    folders = [open_adapter(tmp_path / f"{word}.safetensors") for word in words]
    assert [read_file(folder)[0] for folder in folders] == words
    assert {folder.name for folder in folders} == {"sks-toy"}


def test_the_first_tensor_of_no_layer_is_named(kohya):
    tensors, metadata = load_tensors(kohya)
    save_tensors(kohya, tensors | {"lora_unet_zz_up_blocks.lora_up.weight": torch.ones(2, 2)}, metadata)
    with pytest.raises(
        ModelMismatchError, match=r"'lora_unet_zz_up_blocks.lora_up.weight' is of no layer of a supported"
    ):
        open_adapter(kohya)
    save_tensors(kohya, tensors | {"unet.down_blocks.9.to_q.lora_A.weight": torch.ones(2, 2)}, metadata)
    with pytest.raises(ModelMismatchError, match=r"has down, which is no whole update"):
        open_adapter(kohya)
    own = next(name for name in tensors if name.endswith("attn1_to_q.lora_down.weight"))
    twice = "unet." + own.removeprefix("lora_unet_").removesuffix(".lora_down.weight")
    same = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight"
    assert twice.replace("_", ".") in same.replace("_", ".")
    save_tensors(kohya, tensors | {same: torch.ones(2, 32)}, metadata)
    with pytest.raises(ModelMismatchError, match=r"comes twice: .* is of the same layer"):
        open_adapter(kohya)


@pytest.mark.parametrize(
    ("kind", "other"),
    [("sdxl", "sd1"), ("sd2", "sdxl"), ("sd1", "flux"), ("flux", "sd3"), ("flux", "sd1"), ("sd3", "sdxl")],
)
def test_an_adapter_of_another_architecture_is_refused_by_files_alone(load_tiny, tiny_models, tmp_path, kind, other):
    path = write(tmp_path / kind, LAYOUTS["kohya, names of diffusers"][0](updates_of(load_tiny(kind))))
    check_base_of(open_adapter(path), tiny_models / kind)
    if {kind, other} == {"flux", "sd3"}:
        # told apart by their layers alone, when the base is there
        folder = open_adapter(path)
        with pytest.raises(ModelMismatchError, match=r"which the base model does not have|another base model"):
            find_format(folder).check_fit(load_tiny(other), folder)
        return
    with pytest.raises(ModelMismatchError, match=r"My-adapter-v2: .*it was trained on another base model") as caught:
        check_base_of(open_adapter(path), tiny_models / other)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["sd1", "sdxl", "sd3"])
def test_a_whole_model_is_no_adapter_and_an_adapter_no_model(tiny_models, kohya, tmp_path, kind):
    write_single_file(tiny_models / kind, tmp_path / "whole.safetensors")
    with pytest.raises(
        ModelMismatchError, match=r"whole\.safetensors: a whole base model \(.*Pipeline\) and no adapter"
    ):
        open_adapter(tmp_path / "whole.safetensors")
    with pytest.raises(ModelMismatchError, match=r"v2\)\.safetensors: an adapter, as lora_te_.*, and no whole model"):
        read_contents(kohya)


def test_a_word_that_a_lora_brings_along_comes_with_it(kohya, load_tiny):
    """OneTrainer's files with additional embeddings."""
    tensors, metadata = load_tensors(kohya)
    save_tensors(kohya, tensors | {"bundle_emb.sksToy.emb_params": VECTORS}, metadata)
    [variant] = list_checkpoints(kohya)
    assert variant.format.files == (WEIGHTS, "learned_embeds.safetensors")
    variant.format.check_fit(load_tiny("sd1"), variant.folder)
    more = {"bundle_emb.a.emb_params": VECTORS, "bundle_emb.b.emb_params": VECTORS.clone()}
    save_tensors(kohya, tensors | more, metadata)
    with pytest.raises(ModelMismatchError, match=r"'bundle_emb\.b\.emb_params': a second word beside 'a'"):
        list_checkpoints(kohya)


def test_settings_of_peft_are_read_as_data(load_tiny, tmp_path):
    file = LAYOUTS["peft's folder"][0](updates_of(load_tiny("sd1")))
    folder = write(tmp_path / "peft", file)
    for content in ({"lora_alpha": "8"}, {"alpha_pattern": {"(.*.*)*x!": 3}}):
        (folder / "adapter_config.json").write_text(json.dumps(file.settings | content))
        with pytest.raises(ModelMismatchError, match=r"expected (a number above 0|names of layers)"):
            open_adapter(folder)
    for name, value in (("init_lora_weights", "pissa_niter_4"), ("init_lora_weights", "olora"), ("use_qalora", True)):
        (folder / "adapter_config.json").write_text(json.dumps(file.settings | {name: value}))
        with pytest.raises(ModelMismatchError, match=rf"{name} is '{value}', which cannot be honoured in a plain LoRA"):
            open_adapter(folder)
    (folder / "adapter_config.json").write_text(json.dumps(file.settings | {"init_lora_weights": "gaussian"}))
    open_adapter(folder)
    (folder / "adapter_config.json").write_text(json.dumps(file.settings) + " " * (1 << 16))
    with pytest.raises(ModelMismatchError, match=r"adapter_config\.json: over 64 KiB"):
        open_adapter(folder)
    (folder / "adapter_config.json").unlink()
    with pytest.raises(ModelMismatchError, match=r"expected a checkpoint with adapter_config.json"):
        find_format(open_adapter(folder)).check_file(folder)
