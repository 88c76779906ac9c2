"""Adapters by weight: 0 is the base and 1 today's adapter to the last bit, between them the change is linear."""

import pytest
import torch

from src.core.errors import ConfigError
from src.methods.formats import find_format
from src.methods.weighted import Weighted, check_weights, together
from src.models.base import adaptable, denoiser
from src.models.tensors import save_tensors
from tests.methods.test_lora import predict
from tests.training.test_every_method import METHODS, NO_SUCH, make

# the change of its weights is another at every noise level
LISTENING = ("t_lora",)
WORDS = ("textual_inversion",)
WHOLE = ("dreambooth", "custom_diffusion")


def weights(model):
    return {
        f"{component}.{name}": tensor.clone()
        for component, module in adaptable(model).items()
        for name, tensor in module.state_dict().items()
    }


def saved(load_tiny, folder, name, kind="sd1", seed=1):
    """A checkpoint of a method, away from its start."""
    model, method = load_tiny(kind), make(name)
    torch.manual_seed(seed)
    for group in method.attach(model, seed):
        for parameter in group.parameters.values():
            parameter.data += 0.02 * torch.randn_like(parameter)
    method.save(model, folder)
    return folder


def of(folder, weight=1.0):
    return Weighted(find_format(folder), folder, weight)


def predicted(model, adapters, fuse=None):
    before = weights(model)
    with together(model, adapters, fuse):
        found = predict(model)
    after = weights(model)
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    return found


def changed(model, adapters, fuse=True):
    """What is added to the weights."""
    before = weights(model)
    with together(model, adapters, fuse):
        return {name: tensor - before[name] for name, tensor in weights(model).items() if name in before}


@pytest.mark.parametrize("name", METHODS)
def test_0_is_the_base_and_1_the_adapter_to_the_last_bit(load_tiny, tmp_path, name):
    folder, model = saved(load_tiny, tmp_path / "a", name), load_tiny("sd1")
    base = predict(model)
    assert torch.equal(predicted(model, [of(folder, 0.0)]), base)
    with find_format(folder).applied(model, folder):
        whole = predict(model)
    assert (whole - base).abs().max() > 1e-4
    assert torch.equal(predicted(model, [of(folder, 1.0)]), whole)
    assert torch.equal(predict(model), base)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in (*LISTENING, *WORDS)])
def test_between_the_change_of_the_weights_is_linear(load_tiny, tmp_path, name):
    folder, model = saved(load_tiny, tmp_path / "a", name), load_tiny("sd1")
    whole, half, back = (changed(model, [of(folder, weight)]) for weight in (1.0, 0.5, -0.25))
    assert max(tensor.abs().max() for tensor in whole.values()) > 1e-3
    for key, tensor in whole.items():
        torch.testing.assert_close(half[key], 0.5 * tensor, rtol=0, atol=1e-6)
        torch.testing.assert_close(back[key], -0.25 * tensor, rtol=0, atol=1e-6)
    with find_format(folder).applied(model, folder):
        today = predict(model)
    torch.testing.assert_close(predicted(model, [of(folder)], True), today, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["sdxl", "sd3", "flux"])
@pytest.mark.parametrize("name", ["lora", "lokr", "dreambooth"])
def test_other_bases_take_weights_too(load_tiny, tmp_path, name, kind):
    assert (name, kind) not in NO_SUCH
    folder, model = saved(load_tiny, tmp_path / "a", name, kind), load_tiny(kind)
    whole, half = (changed(model, [of(folder, weight)]) for weight in (1.0, 0.5))
    assert max(tensor.abs().max() for tensor in whole.values()) > 1e-3
    assert all((half[key] - 0.5 * tensor).abs().max() < 1e-6 for key, tensor in whole.items())


@pytest.mark.parametrize("name", [name for name in METHODS if name not in (*LISTENING, *WORDS, *WHOLE)])
def test_fused_or_beside_is_equal_within_rounding(load_tiny, tmp_path, name):
    folder, model = saved(load_tiny, tmp_path / "a", name), load_tiny("sd1")
    fused, beside = (predicted(model, [of(folder, 0.7)], fuse) for fuse in (True, False))
    torch.testing.assert_close(beside, fused, rtol=0, atol=1e-5)
    assert (fused - predict(model)).abs().max() > 1e-4


@pytest.mark.parametrize("scale", [False, True])
def test_an_adapter_of_another_tool_takes_weights_too(load_tiny, tmp_path, scale):
    """LoHa as LyCORIS writes it, without and with DoRA's magnitudes."""
    model = load_tiny("sd1")
    layer = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    weight = denoiser(model).get_submodule(layer.removeprefix("unet.")).weight
    draws = torch.Generator().manual_seed(0)
    shapes = {"a": (weight.shape[0], 2), "b": (2, weight.shape[1])}
    tensors = {
        f"{layer}.hada_w{number}_{part}": 0.3 * torch.randn(shape, generator=draws)
        for number in (1, 2)
        for part, shape in shapes.items()
    }
    tensors[f"{layer}.scale"] = torch.tensor(1.0)
    if scale:
        tensors[f"{layer}.dora_scale"] = 1.1 * weight.norm(dim=0, keepdim=True)
    save_tensors(tmp_path / "a/weight_updates.safetensors", tensors, {})
    whole, half = (changed(model, [of(tmp_path / "a", share)]) for share in (1.0, 0.5))
    w1, w2 = (tensors[f"{layer}.hada_w{n}_a"] @ tensors[f"{layer}.hada_w{n}_b"] for n in (1, 2))
    if not scale:
        torch.testing.assert_close(whole[f"{layer}.weight"], w1 * w2, rtol=0, atol=1e-6)
    assert whole[f"{layer}.weight"].abs().max() > 1e-2
    assert all((half[key] - 0.5 * tensor).abs().max() < 1e-6 for key, tensor in whole.items())
    fused, beside = (predicted(model, [of(tmp_path / "a", 0.7)], fuse) for fuse in (True, False))
    torch.testing.assert_close(beside, fused, rtol=0, atol=1e-5)


def test_a_base_of_half_precision_keeps_the_change_beside(load_tiny, tmp_path):
    """Added, a small change is rounded away; nothing is, where it stays beside."""
    folder = saved(load_tiny, tmp_path / "a", "lora")
    model, exact = load_tiny("sd1", "bf16"), load_tiny("sd1")
    for module, reference in zip(adaptable(model).values(), adaptable(exact).values(), strict=True):
        reference.load_state_dict({name: tensor.float() for name, tensor in module.state_dict().items()})
    small = [of(folder, 0.01)]
    wanted = changed(exact, small)
    found = {fuse: changed(model, small, fuse) for fuse in (None, True)}
    assert not any(tensor.any() for tensor in found[None].values())
    kept = [(found[True][key].float() - tensor).abs().max() for key, tensor in wanted.items() if tensor.any()]
    assert max(kept) > 1e-4
    assert all(tensor.dtype == torch.bfloat16 for tensor in weights(model).values() if tensor.is_floating_point())


def test_several_adapters_add_up(load_tiny, tmp_path):
    names = ("lora", "loha", "dreambooth", "dora")
    folders = [saved(load_tiny, tmp_path / name, name, seed=seed) for seed, name in enumerate(names, 1)]
    model = load_tiny("sd1")
    alone = [changed(model, [of(folder)]) for folder in folders]
    share = (0.5, 1.0, -0.3, 0.2)
    both = changed(model, [of(folder, weight) for folder, weight in zip(folders, share, strict=True)])
    for key, tensor in both.items():
        wanted = sum(weight * one[key] for weight, one in zip(share, alone, strict=True))
        torch.testing.assert_close(tensor, wanted, rtol=0, atol=2e-6)
    predicted(model, [of(folder, weight) for folder, weight in zip(folders, share, strict=True)])
    predicted(model, [of(folders[0], 0.5), of(folders[1], 0.5)], False)


def test_new_words_come_whole_beside_part_of_the_weights(load_tiny, tmp_path):
    folder, model = saved(load_tiny, tmp_path / "a", "pivotal"), load_tiny("sd1")
    parts = of(folder).parts
    words = next(part for part in parts if "learned_embeds" in part.files[0])
    with words.applied(model, folder):
        with_words = predict(model)
    assert (with_words - predict(model)).abs().max() > 1e-4
    little = predicted(model, [of(folder, 1e-6)])
    torch.testing.assert_close(little, with_words, rtol=0, atol=1e-4)


def test_a_t_lora_takes_a_weight_and_stands_beside_another_adapter(load_tiny, tmp_path):
    folder, other = (saved(load_tiny, tmp_path / name, name) for name in ("t_lora", "lora"))
    model = load_tiny("sd1")
    whole = predicted(model, [of(folder)])
    torch.testing.assert_close(predicted(model, [of(folder, 1 - 1e-7)]), whole, rtol=0, atol=1e-5)
    base = predict(model)
    torch.testing.assert_close(predicted(model, [of(folder, 1e-7)]), base, rtol=0, atol=1e-5)
    both = predicted(model, [of(folder, 0.5), of(other, 0.5)])
    assert min((both - predicted(model, [of(one, 0.5)])).abs().max() for one in (folder, other)) > 1e-4


@pytest.mark.parametrize(
    ("names", "weight", "fuse", "message"),
    [
        (["textual_inversion"], 0.5, None, "new words, of which there is no part: expected weight 0 or 1"),
        (["t_lora", "t_lora"], 0.5, None, "expected one T-LoRA at most"),
        (["t_lora"], 1.0, True, r"inferencer\.fuse=true: .* has another rank at every noise level"),
        (["dreambooth"], 1.0, False, r"inferencer\.fuse=false: .* holds whole weights"),
        (["lora", "custom_diffusion"], 0.5, False, r"inferencer\.fuse=false"),
    ],
)
def test_what_a_kind_cannot_be_is_refused_before_a_model_is_loaded(load_tiny, tmp_path, names, weight, fuse, message):
    adapters = [of(saved(load_tiny, tmp_path / f"{i}", name), weight) for i, name in enumerate(names)]
    with pytest.raises(ConfigError, match=message):
        check_weights(adapters, fuse)
    with pytest.raises(ConfigError, match=message):
        together(load_tiny("sd1"), adapters, fuse).__enter__()
