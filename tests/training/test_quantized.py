"""Methods over a base whose denoiser is quantised, and what is refused."""

import sys
from copy import deepcopy

import pytest
import torch
from peft.utils.integrations import dequantize_module_weight

from src.core.config import load_stage_params
from src.core.errors import ConfigError, MissingModelError
from src.methods.formats import find_format
from src.methods.tuner import TUNERS, TunerMethod
from src.models.base import QUANTIZED, Denoiser, denoiser
from src.models.quantized import quantize
from src.stages.training_checks import check_quantized
from src.training.loop import train
from src.training.validation import validate
from tests.methods.test_lora import predict
from tests.training.test_every_method import METHODS, SHORT, make

ALL = [(name, kind) for name in dict.fromkeys((*METHODS, *TUNERS)) for kind in QUANTIZED]


def build_method(name):
    if name in METHODS:
        return make(name)
    sizes = {"boft": {"boft_block_size": 8}, "oft": {"oft_block_size": 8}}.get(name, {"r": 4})
    return TunerMethod(name, sizes, ["to_q", "to_out.0"])


def quantized(model, kind, compute=torch.float32):
    quantize(model, kind, compute)
    return model


def over_plain_numbers(model):
    """Gives a quantised model plain layers with the numbers that its codes stand for."""
    network = denoiser(model)
    for name, layer in list(network.named_modules()):
        if type(layer).__module__.startswith("bitsandbytes"):
            plain = torch.nn.Linear(layer.in_features, layer.out_features, layer.bias is not None).requires_grad_(False)
            plain.weight.data = dequantize_module_weight(layer).detach().float().clone()
            if layer.bias is not None:
                plain.bias.data = layer.bias.data.clone()
            network.set_submodule(name, plain)
    return model


def changed(model, method):
    """Attaches, moves every trained number at random, and returns the parameters."""
    random = torch.Generator().manual_seed(0)
    parameters = {name: value for group in method.attach(model, 0) for name, value in group.parameters.items()}
    for parameter in parameters.values():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=random)
    return parameters


def step(model, method):
    """Returns prediction and gradients of one step."""
    parameters = changed(model, method)
    x_t = torch.ones(2, model.pipeline.vae.config.latent_channels, 8, 8)
    time = torch.tensor([model.process.time_at(0.005), model.process.time_at(0.7)])
    text = model.encode_text(["a photo of sksToy toy"] * 2)
    prediction = Denoiser(model, False, True).train()(x_t, time, text, torch.full((2, 2), 64.0))
    prediction.square().mean().backward()
    return prediction.detach(), {name: parameter.grad for name, parameter in parameters.items()}


@pytest.mark.parametrize(
    ("name", "kind", "base"),
    [
        *((name, kind, "sd1") for name, kind in ALL if kind in build_method(name).quantized_bases),
        *(("lora", kind, "flux") for kind in QUANTIZED),
    ],
)
def test_a_method_computes_as_over_the_numbers_that_the_codes_stand_for(load_tiny, name, kind, base):
    model = quantized(load_tiny(base), kind)
    plain = over_plain_numbers(deepcopy(model))
    prediction, gradients = step(model, build_method(name))
    expected, expected_gradients = step(plain, build_method(name))
    torch.testing.assert_close(prediction, expected, rtol=0, atol=1e-5)
    assert gradients.keys() == expected_gradients.keys()
    for key, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected_gradients[key], rtol=0, atol=1e-4 * float(gradient.abs().max()))


@pytest.mark.parametrize(("kind", "share", "error"), [("int8", 0.27, 0.01), ("nf4", 0.145, 0.2)])
def test_linear_layers_alone_are_quantised_and_predict_nearly_as_before(load_tiny, kind, share, error):
    model, untouched = load_tiny("sd1"), load_tiny("sd1")
    quantized(model, kind)
    taken = total = 0
    for name, layer in denoiser(untouched).named_modules():
        new = denoiser(model).get_submodule(name)
        if type(layer) is torch.nn.Linear:
            assert not new.weight.requires_grad
            scales = [new.weight.SCB] if kind == "int8" else [new.weight.quant_state.absmax]
            taken += sum(tensor.numel() * tensor.element_size() for tensor in (new.weight, *scales))
            total += layer.weight.numel() * 4
        else:
            assert type(new) is type(layer)
    assert taken / total < share
    for part in ("vae", "text_encoder"):
        own, other = getattr(model.pipeline, part), getattr(untouched.pipeline, part)
        assert [type(layer) for layer in own.modules()] == [type(layer) for layer in other.modules()]
    difference = predict(model) - predict(untouched)
    assert 0 < difference.std() < error * predict(untouched).std()


@pytest.mark.parametrize(("name", "kind"), [("lora", "int8"), ("t_lora", "nf4"), ("pivotal", "nf4")])
def test_a_killed_run_ends_in_the_same_bytes_and_its_file_fits_the_base(make_run, load_tiny, tmp_path, name, kind):
    def run(state, **options):
        model = quantized(load_tiny("sd1"), kind)
        return make_run(method=make(name), model=model, state=state, text=make(name).trains_text, **options)

    # the held-out loss in between runs forward without gradients, where the library packs weights anew if it may
    options = {**SHORT, "steps": 3, "val_every": 1, "checkpoint_every": 3}
    whole = train(run("whole", **options))
    train(run("parts", **{**options, "steps": 2}))
    resumed = train(run("parts", **options))
    assert whole.losses == resumed.losses
    assert whole.validations == resumed.validations
    assert all(torch.equal(tensor, resumed.tensors[key]) for key, tensor in whole.tensors.items())
    folder, fresh = tmp_path / "whole/checkpoints/step-000003", load_tiny("sd1")
    untouched = predict(fresh)
    with find_format(folder).applied(fresh, folder):
        assert (predict(fresh) - untouched).abs().max() > 1e-3


@pytest.mark.parametrize("kind", QUANTIZED)
def test_a_quantised_base_in_half_precision_learns(make_run, load_tiny, kind):
    model = quantized(load_tiny("sd3", "bf16"), kind, torch.bfloat16)
    run = make_run(kind="sd3", model=model, precision="bf16", **{**SHORT, "steps": 6, "lr": 1e-2})
    before = validate(run)["val_loss"]
    assert train(run).validations[-1]["val_loss"] < before


def refused(*overrides, method="lora"):
    params = load_stage_params("train", ["device=cpu", f"method={method}", "train.quantize=nf4", *overrides])
    check_quantized(params, build_method(method))


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, kind in ALL if kind not in build_method(name).quantized_bases]
)
def test_methods_that_would_take_codes_for_numbers_are_refused(name, kind):
    params = load_stage_params("train", ["device=cpu", f"train.quantize={kind}"])
    with pytest.raises(ConfigError, match=rf"^train\.quantize={kind}: this method computes with .*expected none"):
        check_quantized(params, build_method(name))


def test_what_cannot_be_quantised_is_refused_in_a_line(monkeypatch):
    with pytest.raises(ConfigError, match=r"^train\.quantize=fp4: expected none, int8 or nf4$"):
        refused("train.quantize=fp4")
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingModelError, match=r"^train\.quantize=nf4: bitsandbytes is missing, install it with `uv"):
        refused()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ConfigError, match=r"^train\.quantize=nf4 with train\.deterministic=true: bitsandbytes promis"):
        refused("device=cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(ConfigError, match=r"^train\.quantize=nf4 with device=mps: bitsandbytes trains on cuda and cpu"):
        refused("device=mps")


def test_without_it_nothing_asks_for_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    check_quantized(load_stage_params("train", ["device=cpu"]), make("dreambooth"))
