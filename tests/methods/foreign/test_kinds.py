"""Every kind of update changes a weight as the paper's formula says, computed here in another way."""

import pytest
import torch
from diffusers import DiffusionPipeline
from torch.nn import functional

from src.core.errors import ModelMismatchError
from src.methods.foreign.opening import open_adapter
from src.methods.formats import find_format
from src.methods.lora import LoraFormat
from src.methods.weight_updates import WeightUpdatesFormat
from src.models.base import adaptable, denoiser
from src.models.tensors import save_tensors
from tests.methods.foreign.layouts import LAYOUTS, updates_of
from tests.methods.foreign.test_layouts import changes, weights
from tests.methods.test_lora import predict

ATTENTION = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
CONVOLUTION = "down_blocks.0.resnets.0.conv1"
TEXT = "text_model.encoder.layers.0.mlp.fc1"
KEYS = {
    f"unet.{ATTENTION}": f"lora_unet_{ATTENTION.replace('.', '_')}",
    f"unet.{CONVOLUTION}": f"lora_unet_{CONVOLUTION.replace('.', '_')}",
    f"text_encoder.{TEXT}": f"lora_te_{TEXT.replace('.', '_')}",
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape))) / 4


def own_name(model, full):
    component, _, layer = full.partition(".")
    names = dict(adaptable(model)[component].named_modules())
    return full if layer in names else f"{component}.{layer.removeprefix('text_model.')}"


def shapes(model):
    return {full: weights(model)[own_name(model, full)].shape for full in KEYS}


def loha(shape):
    out, inside, *kernel = shape
    columns = inside * torch.Size(kernel).numel()
    parts = {f"hada_w{n}_a": rows(out, 3, seed=n) for n in (1, 2)} | {
        f"hada_w{n}_b": rows(3, columns, seed=n) for n in (1, 2)
    }
    first, second = (torch.einsum("or,ri->oi", parts[f"hada_w{n}_a"], parts[f"hada_w{n}_b"]) for n in (1, 2))
    return parts | {"alpha": torch.tensor(1.5)}, (first * second / 2).reshape(shape)


def loha_tucker(shape):
    out, inside, *kernel = shape
    if not kernel:
        return loha(shape)
    parts, factors = {}, []
    for n in (1, 2):
        core, a, b = rows(3, 3, *kernel, seed=n), rows(3, out, seed=n), rows(3, inside, seed=n)
        parts |= {f"hada_t{n}": core, f"hada_w{n}_a": a, f"hada_w{n}_b": b}
        # as convolutions one after the other: inputs to ranks, the core, ranks to outputs
        factors.append(torch.stack([(a.T @ core[:, :, i, j] @ b) for i in range(3) for j in range(3)], -1).view(shape))
    return parts | {"alpha": torch.tensor(3.0)}, factors[0] * factors[1]


def lokr(shape):
    """Whole matrices: alpha counts for nothing, as LyCORIS and ComfyUI have it."""
    out, inside, *kernel = shape
    first, second = rows(4, 2), rows(out // 4, inside // 2, *kernel)
    blocks = [torch.cat([first[i, j] * second for j in range(2)], 1) for i in range(4)]
    return {"lokr_w1": first, "lokr_w2": second, "alpha": torch.tensor(1e10 / 1e5)}, torch.cat(blocks, 0)


def lokr_factors(shape):
    out, inside, *kernel = shape
    columns = inside // 2 * torch.Size(kernel).numel()
    parts = {
        "lokr_w1_a": rows(4, 2),
        "lokr_w1_b": rows(2, 2),
        "lokr_w2_a": rows(out // 4, 2),
        "lokr_w2_b": rows(2, columns),
    }
    first, second = parts["lokr_w1_a"] @ parts["lokr_w1_b"], parts["lokr_w2_a"] @ parts["lokr_w2_b"]
    blocks = [torch.cat([first[i, j] * second for j in range(2)], 1) for i in range(4)]
    return parts | {"alpha": torch.tensor(1.0)}, torch.cat(blocks, 0).reshape(shape) / 2


def locon_tucker(shape):
    """A convolution to the rank, one within it, one from it: their composition on an image is the change's."""
    out, inside, *kernel = shape
    if not kernel:
        down, up = rows(2, inside), rows(out, 2)
        return {"lora_down.weight": down, "lora_up.weight": up, "alpha": torch.tensor(1.0)}, up @ down / 2
    down, mid, up = rows(2, inside, 1, 1), rows(2, 2, *kernel), rows(out, 2, 1, 1)
    # the response to each input's impulse is the composed kernel, mirrored
    impulses = torch.zeros(inside, inside, 5, 5)
    impulses[range(inside), range(inside), 2, 2] = 1
    response = functional.conv2d(functional.conv2d(functional.conv2d(impulses, down), mid, padding=1), up)
    change = response[:, :, 1:4, 1:4].flip(2, 3).transpose(0, 1)
    parts = {"lora_down.weight": down, "lora_mid.weight": mid, "lora_up.weight": up, "alpha": torch.tensor(1.0)}
    return parts, change / 2


def difference(shape):
    change = rows(*shape)
    return {"diff": change}, change


KINDS = [loha, loha_tucker, lokr, lokr_factors, locon_tucker, difference]


def file_of(folder, model, kind):
    made = {full: kind(shape) for full, shape in shapes(model).items()}
    tensors = {f"{KEYS[full]}.{name}": tensor for full, (parts, _) in made.items() for name, tensor in parts.items()}
    save_tensors(folder / "one.safetensors", tensors, {"ss_network_module": "lycoris.kohya"})
    return folder / "one.safetensors", {own_name(model, full): change for full, (_, change) in made.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_weights_change_as_the_formula_says(load_tiny, tmp_path, kind):
    model = load_tiny("sd1")
    path, wanted = file_of(tmp_path, model, kind)
    found = changes(model, path)
    assert isinstance(find_format(open_adapter(path)), WeightUpdatesFormat)
    assert found.keys() == wanted.keys()
    for name, change in wanted.items():
        torch.testing.assert_close(found[name], change, rtol=0, atol=2e-6)


@pytest.mark.parametrize("kind", [lokr, locon_tucker])
def test_over_half_precision_the_change_is_computed_beside_it(load_tiny, tmp_path, kind):
    """The base's own rounding is all that differs from float32; nothing is left afterwards."""
    model, half = load_tiny("sd1"), load_tiny("sd1", "bf16")
    path, _ = file_of(tmp_path, model, kind)
    folder = open_adapter(path)
    found, plain = find_format(folder), predict(half)
    with found.applied(model, folder), found.applied(half, folder):
        after, after_half = predict(model), predict(half)
    assert torch.equal(predict(half), plain)
    moved = (after - predict(load_tiny("sd1"))).abs().max()
    assert moved > 0.1
    assert (after_half.float() - after).abs().max() < 0.1 * moved


def test_changes_of_biases_and_norms_arrive(load_tiny, tmp_path):
    model = load_tiny("sd1")
    norm, conv = "down_blocks.0.resnets.0.norm1", CONVOLUTION
    tensors = {
        f"lora_unet_{norm.replace('.', '_')}.{part}": rows(32, seed=i) for i, part in enumerate(("w_norm", "b_norm"))
    }
    tensors |= {f"lora_unet_{conv.replace('.', '_')}.diff_b": rows(32, seed=3)}
    save_tensors(tmp_path / "norms.safetensors", tensors, {})
    folder, unet = open_adapter(tmp_path / "norms.safetensors"), denoiser(model)
    before = {name: weight.clone() for name, weight in unet.state_dict().items()}
    with find_format(folder).applied(model, folder):
        after = {
            name: weight - before[name]
            for name, weight in unet.state_dict().items()
            if not torch.equal(weight, before[name])
        }
    wanted = dict(zip([f"{norm}.weight", f"{norm}.bias", f"{conv}.bias"], tensors.values(), strict=True))
    assert after.keys() == wanted.keys()
    assert all(torch.allclose(after[name], change, atol=1e-6) for name, change in wanted.items())
    assert all(torch.equal(weight, before[name]) for name, weight in unet.state_dict().items())


@pytest.mark.parametrize("axis", [0, 1])
def test_dora_keeps_the_norms_of_the_axis_that_its_scale_has(load_tiny, tmp_path, axis):
    """LyCORIS: by outputs, as peft has it, where the scale is (out, 1), and else by inputs, (1, in)."""
    model = load_tiny("sd2")
    before, tensors, wanted = weights(model), {}, {}
    for full, key in list(KEYS.items())[:2]:
        weight = before[full]
        down, up = rows(2, *weight.shape[1:]), rows(len(weight), 2, *[1] * (weight.ndim - 2))
        shape = [weight.shape[axis] if i == axis else 1 for i in range(weight.ndim)]
        scale = rows(weight.shape[axis]).abs().reshape(shape) + 1
        tensors |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.dora_scale": scale}
        tensors[f"{key}.alpha"] = torch.tensor(1.0)
        new = weight + (up.flatten(1) @ down.flatten(1)).reshape(weight.shape) / 2
        others = [i for i in range(weight.ndim) if i != axis]
        wanted[full] = new * (scale / new.square().sum(others, keepdim=True).sqrt()) - weight
    save_tensors(tmp_path / "dora.safetensors", tensors, {})
    found = changes(model, tmp_path / "dora.safetensors")
    assert isinstance(find_format(open_adapter(tmp_path / "dora.safetensors")), (LoraFormat, WeightUpdatesFormat)[axis])
    for full, change in wanted.items():
        torch.testing.assert_close(found[full], change, rtol=0, atol=1e-5)


BAD = [
    ({"lora_down.weight": rows(2, 32)}, r"has down, which is no whole update"),
    (
        {"lora_down.weight": rows(2, 32), "lora_up.weight": rows(32, 3)},
        r"down \(2, 32\), up \(32, 3\), which do not fit",
    ),
    ({"lora_down.weight": rows(2, 32), "hada_w1_a": rows(2, 2)}, r"has down, hada_w1_a, which is no whole update"),
    ({"diff": torch.ones(32, 32).int()}, r"holds torch.int32, expected floating point"),
    ({"diff": torch.full((32, 32), float("nan"))}, r"numbers that are not finite"),
    ({"diff": rows(32, 32), "alpha": rows(2)}, r"alpha' is 2 numbers, expected one number"),
    ({"diff": rows(32, 32), "alpha": torch.tensor(-1.0)}, r"alpha' is -1, expected one number of at least 0"),
    ({"oft_blocks": rows(4, 8, 8)}, r"oft_blocks' is no part of an adapter that can be read here"),
    ({"on_input": rows(1)}, r"on_input' is no part of an adapter"),
    ({"a1.weight": rows(2, 2)}, r"a1\.weight' is no part of an adapter"),
    ({"weight": rows(2, 2)}, r"weight' is no part of an adapter"),
]
QKV, LAST = "lora_unet_double_blocks_0_img_attn_qkv", "lora_unet_final_layer_adaLN_modulation_1"
FUSED = [
    (QKV, {"lokr_w1": rows(4, 4), "lokr_w2": rows(24, 8)}, "several layers as one can be cut apart in LoRA and LoHa"),
    (QKV, {"lora_down.weight": rows(2, 32), "lora_up.weight": rows(95, 2)}, "has 95 rows, expected a multiple of 3"),
    (LAST, {"diff": rows(64, 32)}, "a modulation, which can be read as a plain LoRA alone"),
    (
        "lora_te3_encoder_block_0_layer_0_SelfAttention_q",
        {"diff": rows(4, 4)},
        "is of T5, the text encoder that is never",
    ),
    ("lora_unet_input_blocks_3_1_proj_in", {"diff": rows(4, 4)}, r"is no layer of SDXL's UNet"),
    ("", {"lora_down.weight": rows(2, 2)}, "is no part of an adapter"),
]


@pytest.mark.parametrize(("key", "parts", "message"), FUSED)
def test_layers_that_cannot_be_cut_apart_or_are_none_are_named(tmp_path, key, parts, message):
    save_tensors(tmp_path / "bad.safetensors", {f"{key}.{name}": tensor for name, tensor in parts.items()}, {})
    with pytest.raises(ModelMismatchError, match=message):
        open_adapter(tmp_path / "bad.safetensors")


def test_loha_and_dora_of_layers_that_are_one_are_cut_apart(load_tiny, tmp_path):
    """Rows of the whole change, by q, k and v."""
    model = load_tiny("flux")
    parts, change = loha((96, 32))
    scale = rows(96, 1).abs() + 1
    down, up = rows(2, 32), rows(96, 2)
    other = QKV.replace("img", "txt")
    tensors = {f"{QKV}.{name}": tensor for name, tensor in parts.items()}
    tensors |= {f"{other}.lora_down.weight": down, f"{other}.lora_up.weight": up, f"{other}.dora_scale": scale}
    save_tensors(tmp_path / "one.safetensors", tensors, {})
    before, block = weights(model), "transformer.transformer_blocks.0.attn"
    wanted = {f"{block}.{name}": part for name, part in zip(("to_q", "to_k", "to_v"), change.chunk(3), strict=True)}
    for name, part, norm in zip(("q", "k", "v"), (up @ down).chunk(3), scale.chunk(3), strict=True):
        new = before[f"{block}.add_{name}_proj"] + part
        wanted[f"{block}.add_{name}_proj"] = (
            new * norm / new.norm(dim=1, keepdim=True) - before[f"{block}.add_{name}_proj"]
        )
    found = changes(model, tmp_path / "one.safetensors")
    assert found.keys() == wanted.keys()
    for name, part in wanted.items():
        torch.testing.assert_close(found[name], part, rtol=0, atol=1e-5)


def test_diffusers_reads_the_same_in_kohyas_file(load_tiny, tiny_models, tmp_path):
    """Whatever this file's own writer says: diffusers' converter and its merged weights are the reference."""
    model = load_tiny("sd1")
    attention = {name: lora for name, lora in updates_of(model).items() if "attn" in name}
    file = LAYOUTS["kohya, names of diffusers"][0](attention)
    save_tensors(tmp_path / "kohya.safetensors", file.tensors, file.metadata)
    plain = DiffusionPipeline.from_pretrained(tiny_models / "sd1")
    parts = {"unet": plain.unet, "text_encoder": plain.text_encoder}
    before = {
        f"{part}.{name}": value.clone() for part, own in parts.items() for name, value in own.state_dict().items()
    }
    plain.load_lora_weights(tmp_path, weight_name="kohya.safetensors")
    plain.fuse_lora()
    plain.unload_lora_weights()
    after = {f"{part}.{name}": value for part, own in parts.items() for name, value in own.state_dict().items()}
    found = changes(model, tmp_path / "kohya.safetensors")
    assert found.keys() == {
        name.removesuffix(".weight") for name in after if not torch.equal(after[name], before[name])
    }
    for name, change in found.items():
        # diffusers keeps the factors in the file's half precision
        torch.testing.assert_close(change, after[f"{name}.weight"] - before[f"{name}.weight"], rtol=2e-3, atol=5e-4)


@pytest.mark.parametrize(("parts", "message"), BAD)
def test_what_does_not_fit_is_named(tmp_path, parts, message):
    key = KEYS[f"unet.{ATTENTION}"]
    save_tensors(tmp_path / "bad.safetensors", {f"{key}.{name}": tensor for name, tensor in parts.items()}, {})
    with pytest.raises(ModelMismatchError, match=message) as caught:
        open_adapter(tmp_path / "bad.safetensors")
    assert "\n" not in str(caught.value)
    assert key in str(caught.value)


@pytest.mark.parametrize("kind", [lokr, loha, difference])
def test_updates_of_another_base_are_refused(load_tiny, tmp_path, kind):
    path, _ = file_of(tmp_path, load_tiny("sd1"), kind)
    folder, other = open_adapter(path), load_tiny("sdxl")
    with pytest.raises(ModelMismatchError, match=r"one: the update of .* is not as wide .* another base model"):
        find_format(folder).check_fit(other, folder)
