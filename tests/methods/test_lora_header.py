"""An adapter that somebody sends: its header is data, and settings follow from its tensors."""

import json
import struct
import time

import pytest
import torch

from src.core.errors import ModelMismatchError
from src.methods.lora import LoraMethod
from src.methods.lora_files import WEIGHTS, load_adapter, read_adapter, save_adapter
from src.methods.lora_header import HEADER_KEY, layer_alphas, layer_ranks, recorded_numbers
from src.methods.peft_layers import adapted
from src.models.tensors import load_tensors, save_tensors


@pytest.fixture
def sent(load_tiny, tmp_path):
    """An adapter of rank 4 and alpha 8, and a function that writes it anew with another header or other tensors."""
    model = load_tiny("sd1")
    LoraMethod(4, 8.0, 0.0, ["to_q", "to_k"], False, False, False, 1e-5, ["q_proj"]).attach(model, seed=1)
    save_adapter(model, tmp_path)
    tensors, metadata = load_tensors(tmp_path / WEIGHTS)

    def write(header=None, **more):
        changed = json.loads(metadata[HEADER_KEY]) | (header or {})
        save_tensors(tmp_path / WEIGHTS, tensors | more, metadata | {HEADER_KEY: json.dumps(changed)})
        return tmp_path

    return write


def test_patterns_and_settings_of_the_file_reach_nothing(load_tiny, sent):
    evil = {
        "unet.exclude_modules": "(.*.*)*x!",
        "unet.target_modules": "(.*.*)*x!",
        "unet.modules_to_save": ["conv_in"],
    }
    evil |= {"unet.rank_pattern": {"(.*.*)*x!": 3}, "unet.lora_dropout": 0.9, "unet.nonsense": 1}
    folder, model = sent(evil), load_tiny("sd1")
    began = time.monotonic()
    load_adapter(model, folder)
    assert time.monotonic() - began < 5
    config = adapted(model)["unet"].peft_config["default"]
    assert (config.r, config.lora_alpha, config.lora_dropout, config.use_dora) == (4, 8, 0.0, False)
    assert (config.exclude_modules, config.modules_to_save, config.rank_pattern) == (None, None, {})
    assert {name.rsplit(".", 1)[-1] for name in config.target_modules} == {"to_q", "to_k"}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"unet.lora_alpha": "8"}, r"unet\.lora_alpha is '8': expected a number above 0"),
        ({"unet.lora_alpha": True}, r"unet\.lora_alpha is 'True'"),
        ({"unet.lora_alpha": float("nan")}, r"unet\.lora_alpha is 'nan'"),
        ({"unet.lora_alpha": 1e30}, r"unet\.lora_alpha is '1e\+30'"),
        ({"unet.lora_alpha": 10**400}, r"unet\.lora_alpha is '10000"),
        ({"unet.lora_alpha": float("inf")}, r"unet\.lora_alpha is 'inf'"),
        ({"unet.lora_alpha": None}, r"names no alpha of unet"),
        ({"unet.r": 5}, r"layers of rank 4 and the header says 5"),
        ({"unet.x": "y" * 1_100_000}, r"no mapping of at most 1 MiB"),
        ({"unet.alpha_pattern": {"(.*.*)*x!": 3}}, r"alpha_pattern has '\(\.\*\.\*\)\*x!': expected names of layers"),
        ({"unet.alpha_pattern": {"to_q": -1}}, r"unet\.alpha_pattern is '-1'"),
        ({"unet.alpha_pattern": [3]}, r"unet\.alpha_pattern is no mapping"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(load_tiny, sent, header, message):
    with pytest.raises(ModelMismatchError, match=message):
        load_adapter(load_tiny("sd1"), sent(header))


@pytest.mark.parametrize("note", ["[" * 60000, "[]", "{", "9" * 60000])
def test_a_note_that_is_no_mapping_is_refused(note):
    with pytest.raises(ModelMismatchError, match=HEADER_KEY):
        recorded_numbers("x", {HEADER_KEY: note}, "r")


def test_tensors_of_no_layer_are_refused(load_tiny, sent):
    for name in ("unet.conv_in.weight", "unet.(.*.*)*x!.lora_magnitude_vector", "unet.(a*)*.lora_A.weight"):
        with pytest.raises(ModelMismatchError, match=r"no LoRA layer|does not have"):
            load_adapter(load_tiny("sd1"), sent(**{name: torch.ones(4, 4)}))


def test_every_layer_has_its_own_rank_and_alpha(load_tiny, sent, tmp_path):
    """The update of a layer is alpha / rank of its own, whatever peft's patterns match besides."""
    pattern = {"attn1.to_q": 2, "^down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q": 3, "mid_block": 5}
    folder = sent({"unet.alpha_pattern": pattern})
    tensors, metadata = load_tensors(folder / WEIGHTS)
    layer = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k"
    tensors |= {f"{layer}.lora_A.weight": torch.ones(2, 32), f"{layer}.lora_B.weight": torch.ones(32, 2)}
    save_tensors(folder / WEIGHTS, tensors, metadata)
    model = load_tiny("sd1")
    load_adapter(model, folder)
    unet = model.pipeline.unet
    found = {name: module for name, module in unet.named_modules() if hasattr(module, "lora_A")}
    for name, module in found.items():
        wanted = (
            2
            if name.endswith("attn1.to_q")
            else 3
            if name.endswith("0.attentions.0.transformer_blocks.0.attn2.to_q") and name.startswith("down")
            else 8
        )
        rank = 2 if f"unet.{name}" == layer else 4
        assert (module.r["default"], module.scaling["default"]) == (rank, wanted / rank), name
    assert len({module.scaling["default"] for module in found.values()}) == 4


def test_the_first_pattern_that_ends_a_layers_name_rules_and_costs_a_look():
    names = [f"down_blocks.{number}.attn1.to_q" for number in range(3000)]
    ranks = {f"unet.{name}": 4 for name in names}
    pattern = {"1.attn1.to_q": 5, "attn1.to_q": 2, "^down_blocks.2.attn1.to_q": 3, "text_model.attn1.to_q": 7}
    note = {"unet.lora_alpha": 1, "unet.alpha_pattern": pattern}
    found = layer_alphas("x", {HEADER_KEY: json.dumps(note)}, ranks)
    # peft's patterns begin at a dot: "1.attn1" is of 1 and not of 11
    assert (found[f"unet.{names[1]}"], found[f"unet.{names[2]}"], found[f"unet.{names[11]}"]) == (5, 2, 2)
    note["unet.alpha_pattern"] = {"^down_blocks.2.attn1.to_q": 3} | pattern
    assert layer_alphas("x", {HEADER_KEY: json.dumps(note)}, ranks)[f"unet.{names[2]}"] == 3
    note["unet.alpha_pattern"] = {f"{name}x": 3 for name in names} | {names[7]: 6}
    began = time.monotonic()
    found = layer_alphas("x", {HEADER_KEY: json.dumps(note)}, ranks)
    assert time.monotonic() - began < 1
    assert (found[f"unet.{names[7]}"], sum(found.values())) == (6, 2999 + 6)
    note["unet.alpha_pattern"] = {f"a{number}": 1 for number in range(4097)}
    with pytest.raises(ModelMismatchError, match=r"unet\.alpha_pattern has 4097 names: expected at most 4096"):
        layer_alphas("x", {HEADER_KEY: json.dumps(note)}, ranks)


def test_a_header_that_says_rslora_scales_by_the_root_of_the_rank():
    tensors = {f"unet.a{rank}.lora_B.weight": torch.ones(8, rank) for rank in (4, 16)}
    note = {"unet.lora_alpha": 1, "unet.use_rslora": True}
    ranks = layer_ranks(tensors)
    assert layer_alphas("x", {HEADER_KEY: json.dumps(note)}, ranks) == {"unet.a4": 2.0, "unet.a16": 4.0}
    assert layer_alphas("x", {HEADER_KEY: json.dumps(note | {"unet.use_rslora": False})}, ranks) == {
        "unet.a4": 1,
        "unet.a16": 1,
    }


def test_sizes_are_bounded_before_anything_is_read(tmp_path):
    (tmp_path / WEIGHTS).write_bytes(struct.pack("<Q", 90 << 20) + b"{")
    with pytest.raises(ModelMismatchError, match="a header of over 4 MiB"):
        read_adapter(tmp_path)
    with (tmp_path / WEIGHTS).open("wb") as stream:
        stream.truncate(9 << 30)  # a sparse file
    with pytest.raises(ModelMismatchError, match="over 8 GiB"):
        read_adapter(tmp_path)
