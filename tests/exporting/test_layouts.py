"""Exported files, read by the rules of the tools that they are for, against the layers that were trained."""

import json

import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file

from src.commands.export_lora import export
from src.core.errors import ConfigError, ModelMismatchError
from src.methods.formats import find_format
from src.methods.sdxl_names import original_name
from src.models.base import denoiser
from src.models.tensors import load_tensors, save_tensors
from tests.methods.test_begun import moved
from tests.training.test_every_method import make


def saved(load_tiny, folder, name, kind, *overrides):
    method = make(name, *overrides)
    method.save(moved(load_tiny(kind), method), folder)
    return folder


def changes(load_tiny, folder, kind):
    """Weight changes of a checkpoint, as the project itself generates with them."""
    model = load_tiny(kind)
    before = {name: value.clone() for name, value in denoiser(model).state_dict().items()}
    with find_format(folder).applied(model, folder):
        own = {name.replace(".base_layer", ""): value.clone() for name, value in denoiser(model).state_dict().items()}
    found = {name.rpartition(".")[0]: own[name] - value for name, value in before.items() if name.endswith(".weight")}
    return {name: change for name, change in found.items() if change.abs().max() > 0}


def comfyui(tensors, key, shape):
    """ComfyUI's comfy/weight_adapter, in its own words: lora.py, loha.py, lokr.py; `.diff` of comfy/lora.py."""
    part = {
        name.removeprefix(f"{key}."): value.float() for name, value in tensors.items() if name.startswith(f"{key}.")
    }
    alpha = part.pop("alpha", None)
    if "diff" in part:
        return part["diff"]
    if "lora_up.weight" in part:
        down, up = part["lora_down.weight"], part["lora_up.weight"]
        change = up.flatten(1) @ down.flatten(1) * (alpha / down.shape[0])
    elif "hada_w1_a" in part:
        change = (part["hada_w1_a"] @ part["hada_w1_b"]) * (part["hada_w2_a"] @ part["hada_w2_b"])
        change = change * (alpha / part["hada_w1_b"].shape[0])
    else:
        scale = alpha / part["lokr_w2_b"].shape[0] if "lokr_w2_b" in part else 1.0
        scale = alpha / part["lokr_w1_b"].shape[0] if "lokr_w1_b" in part else scale
        first = part["lokr_w1"] if "lokr_w1" in part else part["lokr_w1_a"] @ part["lokr_w1_b"]
        second = part["lokr_w2"] if "lokr_w2" in part else part["lokr_w2_a"] @ part["lokr_w2_b"]
        change = torch.kron(first, second) * scale
    return change.reshape(shape)


CASES = [
    *(("kohya", name, kind) for name in ("lora", "rslora", "pissa", "loha", "lokr") for kind in ("sd1", "sd2", "sdxl")),
    *(("full", name, "sd1") for name in ("lora", "dora", "oft", "boft", "hra", "dreambooth", "custom_diffusion")),
    *(("full", name, "sdxl") for name in ("dora", "dreambooth")),
]


@pytest.mark.parametrize(("layout", "name", "kind"), CASES)
def test_tools_compute_the_change_that_was_trained(load_tiny, tiny_models, tmp_path, layout, name, kind):
    alpha = {"lora": ["method.alpha=2"], "loha": ["method.options.alpha=2"], "lokr": ["method.options.alpha=2"]}
    folder = saved(load_tiny, tmp_path / name, name, kind, *alpha.get(name, []))
    export(folder, tmp_path / "toy.safetensors", layout, [f"model.id={tiny_models / kind}"])
    tensors, wanted = load_file(tmp_path / "toy.safetensors"), changes(load_tiny, folder, kind)
    assert wanted
    found = set()
    for layer, change in wanted.items():
        key = f"lora_unet_{original_name(layer) if kind == 'sdxl' else layer}".replace(".", "_")
        torch.testing.assert_close(comfyui(tensors, key, change.shape), change, rtol=4e-3, atol=3e-4)
        found.add(key)
    assert {name.partition(".")[0] for name in tensors} == found


def a1111_dora(weight, change, scale):
    """AUTOMATIC1111's extensions-builtin/Lora/network.py, `apply_weight_decompose`: norms of columns."""
    merged = weight + change
    norm = merged.transpose(0, 1).flatten(1).norm(dim=1, keepdim=True).transpose(0, 1)
    return merged * (scale / norm) - weight


def comfyui_dora(weight, change, scale):
    """ComfyUI's comfy/weight_adapter/base.py, `weight_decompose`: norms of rows where the scale has one of each."""
    merged = weight + change
    return merged * (scale / merged.flatten(1).norm(dim=1, keepdim=True)) - weight


def test_tools_differ_in_dora_and_agree_on_its_whole_change(load_tiny, tiny_models, tmp_path):
    folder, words = saved(load_tiny, tmp_path / "dora", "dora", "sd1"), [f"model.id={tiny_models / 'sd1'}"]
    with pytest.raises(ModelMismatchError, match=r"a DoRA, which tools compute in different ways: try --layout full"):
        export(folder, tmp_path / "toy.safetensors", None, words)
    layer = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    factors = {k.removeprefix(f"unet.{layer}."): v for k, v in load_tensors(next(folder.iterdir()))[0].items()}
    weight = denoiser(load_tiny("sd1")).state_dict()[f"{layer}.weight"]
    change = factors["lora_B.weight"] @ factors["lora_A.weight"]
    scale = factors["lora_magnitude_vector"].reshape(-1, 1)
    wanted = changes(load_tiny, folder, "sd1")[layer]
    torch.testing.assert_close(comfyui_dora(weight, change, scale), wanted, rtol=0, atol=1e-5)
    assert (a1111_dora(weight, change, scale) - wanted).abs().max() > 0.01
    export(folder, tmp_path / "toy.safetensors", "full", words)
    both = load_file(tmp_path / "toy.safetensors")[f"lora_unet_{layer.replace('.', '_')}.diff"]
    torch.testing.assert_close(both.float(), wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["sd1", "sdxl", "sd3", "flux"])
def test_a_reader_without_the_header_computes_the_change(load_tiny, tiny_models, tmp_path, kind):
    folder = saved(load_tiny, tmp_path / "lora", "lora", kind, "method.alpha=2")
    export(folder, tmp_path / "toy.safetensors", "diffusers", [f"model.id={tiny_models / kind}"])
    tensors, header = load_tensors(tmp_path / "toy.safetensors")
    name = denoiser_name(kind)
    for layer, change in changes(load_tiny, folder, kind).items():
        down, up = (tensors[f"{name}.{layer}.lora_{side}.weight"].float() for side in "AB")
        torch.testing.assert_close(
            (up.flatten(1) @ down.flatten(1)).reshape(change.shape), change, rtol=4e-3, atol=3e-4
        )
    assert json.loads(header["lora_adapter_metadata"])[f"{name}.lora_alpha"] == 4


def denoiser_name(kind):
    return "transformer" if kind in ("sd3", "flux") else "unet"


@pytest.mark.parametrize("kind", ["sd3", "flux"])
def test_transformers_are_written_as_their_tools_read_them(load_tiny, tiny_models, tmp_path, kind):
    folder, words = saved(load_tiny, tmp_path / "lora", "lora", kind), [f"model.id={tiny_models / kind}"]
    export(folder, tmp_path / "toy.safetensors", None, words)
    assert all(name.startswith("transformer.") for name in load_file(tmp_path / "toy.safetensors"))
    with pytest.raises(ModelMismatchError, match="try --layout diffusers"):
        export(folder, tmp_path / "other.safetensors", "kohya", words)


REFUSED = [
    ("oft", "kohya", r"no tool reads the factors of oft on this base model: try --layout full"),
    ("dreambooth", "kohya", r"holds no LoRA: try --layout full"),
    ("textual_inversion", "kohya", r"learned_embeds.safetensors as an embedding"),
    ("textual_inversion", "full", r"changes no weights of the denoiser"),
    ("t_lora", "full", r"not the same in every step"),
]


@pytest.mark.parametrize(("name", "layout", "message"), REFUSED)
def test_what_a_layout_cannot_hold_is_refused(load_tiny, tiny_models, tmp_path, name, layout, message):
    folder = saved(load_tiny, tmp_path / name, name, "sd1")
    with pytest.raises(ModelMismatchError, match=message):
        export(folder, tmp_path / "toy.safetensors", layout, [f"model.id={tiny_models / 'sd1'}"])
    assert not (tmp_path / "toy.safetensors").exists()


def test_text_encoders_are_no_part_of_the_whole_change(load_tiny, tiny_models, tmp_path):
    folder = saved(load_tiny, tmp_path / "lora", "lora", "sd1", "method.train_text_encoder=true")
    with pytest.raises(
        ModelMismatchError, match=r"changes text_encoder\..*, too; --layout full writes the denoiser alone"
    ):
        export(folder, tmp_path / "toy.safetensors", "full", [f"model.id={tiny_models / 'sd1'}"])


def test_names_that_no_tool_lists_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"a folder; expected the name of a \.safetensors file"):
        export(tmp_path, tmp_path)
    with pytest.raises(ConfigError, match=r"toy: expected a name that ends with \.safetensors"):
        export(tmp_path, tmp_path / "toy")
    with pytest.raises(ConfigError, match=r"toy\.bin: expected a name that ends with \.safetensors"):
        export(tmp_path, tmp_path / "toy.bin")


def foreign(load_tiny, folder):
    """A LoRA of kohya's with another rank and alpha in each layer."""
    layers = {
        name: layer.weight.shape
        for name, layer in denoiser(load_tiny("sd1")).named_modules()
        if name.endswith(("to_q", "to_v")) and isinstance(layer, torch.nn.Linear)
    }
    random, tensors = torch.Generator().manual_seed(0), {}
    for number, (name, shape) in enumerate(layers.items()):
        key, rank = f"lora_unet_{name.replace('.', '_')}", 2 + 2 * (number % 2)
        tensors[f"{key}.lora_down.weight"] = torch.randn(rank, shape[1], generator=random)
        tensors[f"{key}.lora_up.weight"] = torch.randn(shape[0], rank, generator=random)
        tensors[f"{key}.alpha"] = torch.tensor([1.0, 4.0, 7.0][number % 3])
    save_tensors(folder / "their.safetensors", tensors, {})
    return folder / "their.safetensors", set(layers)


@pytest.mark.parametrize("layout", ["kohya", "diffusers"])
def test_each_layer_keeps_its_own_scale(load_tiny, tiny_models, tmp_path, monkeypatch, layout):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    path, layers = foreign(load_tiny, tmp_path)
    export(path, tmp_path / "toy.safetensors", layout, [f"model.id={tiny_models / 'sd1'}"])
    given, tensors = load_file(path), load_file(tmp_path / "toy.safetensors")
    wanted = {}
    for layer in layers:
        key = f"lora_unet_{layer.replace('.', '_')}"
        wanted[layer] = comfyui(given, key, (given[f"{key}.lora_up.weight"].shape[0], -1))
        if layout == "kohya":
            found = comfyui(tensors, key, wanted[layer].shape)
        else:
            found = tensors[f"unet.{layer}.lora_B.weight"].float() @ tensors[f"unet.{layer}.lora_A.weight"].float()
        torch.testing.assert_close(found, wanted[layer], rtol=1e-2, atol=2e-2)
    if layout == "kohya":  # of which diffusers (0.42.1) takes one alpha for layers of several ranks
        return
    pipeline = DiffusionPipeline.from_pretrained(tiny_models / "sd1")
    before = {name: weight.clone() for name, weight in pipeline.unet.state_dict().items()}
    pipeline.load_lora_weights(tmp_path, weight_name="toy.safetensors")
    pipeline.fuse_lora()
    after = pipeline.unet.state_dict()
    for layer, change in wanted.items():
        found = after[f"{layer}.base_layer.weight"] - before[f"{layer}.weight"]
        torch.testing.assert_close(found, change, rtol=1e-2, atol=2e-2)


SPOILT = {
    "missing": (lambda name, tensor: None if "lora_B" in name else tensor, "do not fit each other"),
    "rank": (lambda name, tensor: tensor[:, :3] if "lora_B" in name else tensor, "do not fit each other"),
    "flat": (lambda name, tensor: tensor.flatten() if "lora_B" in name else tensor, "do not fit each other"),
    "nan": (lambda _, tensor: tensor * float("nan"), "no finite number"),
    "whole numbers": (lambda _, tensor: tensor.long(), "no finite number"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_spoilt_adapter_is_not_exported(load_tiny, tiny_models, tmp_path, what):
    folder = saved(load_tiny, tmp_path / "step-000002", "lora", "sd1")
    spoil, message = SPOILT[what]
    file = next(folder.glob("*.safetensors"))
    tensors, header = load_tensors(file)
    spoilt = {name: spoil(name, tensor) for name, tensor in tensors.items()}
    save_tensors(file, {name: tensor for name, tensor in spoilt.items() if tensor is not None}, header)
    with pytest.raises(ModelMismatchError, match=message):
        export(folder, tmp_path / "toy.safetensors", None, [f"model.id={tiny_models / 'sd1'}"])
