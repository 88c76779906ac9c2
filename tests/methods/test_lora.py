import json

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors import safe_open

from src.core.errors import ConfigError, ModelMismatchError
from src.methods.lora import LoraMethod
from src.methods.lora_files import WEIGHTS, load_adapter, save_adapter
from src.methods.peft_layers import adapted, merged, only_part, take_off
from src.models.base import Denoiser, adaptable, denoiser
from src.models.tensors import load_tensors, save_tensors
from src.sampling.generator import Job, SamplingSettings, sample
from src.sampling.prompts import Prompt

UNET = ["to_q", "to_k", "to_v", "to_out.0"]
TEXT = ["q_proj", "k_proj", "v_proj", "out_proj"]
CASES = [
    ("sd1", False, False),
    ("sd2", False, True),
    ("sdxl", True, False),
    ("sd1", True, False),
    ("sd3", True, False),
    ("sd3", False, True),
    ("flux", True, False),
    ("flux", False, True),
]


def method(text=False, dora=False, rank=4, alpha=8.0):
    return LoraMethod(rank, alpha, 0.0, UNET, dora, False, text, 1e-5, TEXT)


def predict(model):
    with torch.no_grad():
        text = model.encode_text(["a photo of sksToy toy"] * 2)
        x_t = torch.ones(2, model.pipeline.vae.config.latent_channels, 8, 8)
        time = torch.tensor([model.process.time_at(0.005), model.process.time_at(0.7)])
        return Denoiser(model, False, False)(x_t, time, text, torch.full((2, 2), 64.0))


def picture(model):
    sampler = "DDIMScheduler" if model.denoiser_name == "unet" else "FlowMatchEulerDiscreteScheduler"
    settings = SamplingSettings(64, 1, 2, 3.0, "", 1, 0, sampler, {}, "fp32")
    [(_, image)] = sample(model, settings, [Job(Prompt("a", "test", "g", "a toy"), "a sksToy toy", 0)])
    return torch.from_numpy(np.asarray(image).astype(np.int16))


def trained(load, kind, text, dora, dtype="fp32"):
    model = load(kind, dtype)
    torch.manual_seed(1)
    for group in method(text, dora).attach(model, seed=1):
        for parameter in group.parameters.values():
            parameter.data.add_(torch.randn_like(parameter) * 0.05)
    return model


@pytest.mark.parametrize(("kind", "text", "dora"), CASES)
def test_adapter_round_trip_gives_the_same_predictions(load_tiny, tmp_path, kind, text, dora):
    model = trained(load_tiny, kind, text, dora)
    save_adapter(model, tmp_path)
    fresh = load_tiny(kind)
    before = predict(fresh)
    load_adapter(fresh, tmp_path)
    torch.testing.assert_close(predict(fresh), predict(model), rtol=0, atol=1e-6)
    assert (predict(fresh) - before).abs().max() > 1e-3
    take_off(fresh)
    assert torch.equal(predict(fresh), before)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("kind", ["sd1", "sd2", "sdxl", "sd3", "flux"])
def test_adapter_is_loaded_in_float32_over_any_base_and_generates(load_tiny, tmp_path, kind, dora, dtype):
    model = trained(load_tiny, kind, not dora, dora, dtype)
    save_adapter(model, tmp_path)
    fresh = load_tiny(kind, dtype)
    load_adapter(fresh, tmp_path)
    tensors, _ = load_tensors(tmp_path / WEIGHTS)
    found = [p for module in adapted(fresh).values() for name, p in module.named_parameters() if "lora_" in name]
    assert {p.dtype for p in found} == {torch.float32}
    assert sum(p.double().abs().sum().item() for p in found) == pytest.approx(
        sum(t.double().abs().sum().item() for t in tensors.values()), rel=1e-12
    )
    adapted_picture = picture(fresh)
    assert torch.equal(adapted_picture, picture(model))
    with merged(fresh):
        assert (picture(fresh) - adapted_picture).abs().max() <= (1 if dtype == "fp32" else 0)
    take_off(fresh)
    assert not torch.equal(picture(fresh), adapted_picture)


def test_a_file_that_lacks_a_factor_is_refused(load_tiny, tmp_path):
    save_adapter(trained(load_tiny, "sd1", False, False), tmp_path)
    tensors, metadata = load_tensors(tmp_path / WEIGHTS)
    lost = next(name for name in tensors if name.endswith("lora_A.weight"))
    del tensors[lost]
    save_tensors(tmp_path / WEIGHTS, tensors, metadata)
    with pytest.raises(ModelMismatchError, match=f"1 tensors did not arrive in the base model, first {lost}"):
        load_adapter(load_tiny("sd1"), tmp_path)


@pytest.mark.parametrize(("kind", "text", "dora"), CASES)
def test_merging_changes_rounding_alone_and_is_undone(load_tiny, kind, text, dora):
    model = trained(load_tiny, kind, text, dora)
    apart, network = predict(model), denoiser(model)
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with merged(model):
        changed = [name for name, tensor in network.state_dict().items() if not torch.equal(tensor, weights[name])]
        torch.testing.assert_close(predict(model), apart, rtol=0, atol=1e-5)
    assert len(changed) == sum(name.endswith("base_layer.weight") for name in weights) > 0
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())
    assert torch.equal(predict(model), apart)


def test_half_precision_is_not_merged(load_tiny):
    model = load_tiny("sd1", "bf16")
    for group in method().attach(model, seed=1):
        for parameter in group.parameters.values():
            parameter.data.add_(1e-4)
    apart = predict(model)
    with merged(model):
        assert torch.equal(predict(model), apart)
        assert not any(getattr(layer, "merged", False) for layer in model.pipeline.unet.modules())


def test_convolutions_and_feed_forward_layers_survive_beside_attention(load_tiny, tiny_models, tmp_path):
    """diffusers names the factors of attention in its own way, and then cannot load them beside others."""
    wide = [*UNET, "conv1", "conv2", "proj_in", "ff.net.0.proj", "ff.net.2"]
    model = load_tiny("sd1")
    for group in LoraMethod(4, 8.0, 0.0, wide, False, False, False, 1e-5, TEXT).attach(model, seed=1):
        assert any("conv1.lora_A" in name for name in group.parameters)
        for parameter in group.parameters.values():
            parameter.data.add_(torch.randn_like(parameter) * 0.05)
    save_adapter(model, tmp_path)
    fresh = load_tiny("sd1")
    load_adapter(fresh, tmp_path)
    torch.testing.assert_close(predict(fresh), predict(model), rtol=0, atol=1e-6)
    plain = DiffusionPipeline.from_pretrained(tiny_models / "sd1")
    plain.load_lora_weights(tmp_path)
    arrived = [name for name, _ in plain.unet.named_parameters() if "lora_" in name]
    assert len(arrived) == sum("lora_" in name for name in model.pipeline.unet.state_dict())


def test_files_with_the_older_names_load(load_tiny, tmp_path):
    model = trained(load_tiny, "sd1", False, False)
    save_adapter(model, tmp_path)
    tensors, metadata = load_tensors(tmp_path / WEIGHTS)
    older = {k.replace("lora_A", "lora.down").replace("lora_B", "lora.up"): v for k, v in tensors.items()}
    assert older.keys() != tensors.keys()
    save_tensors(tmp_path / WEIGHTS, older, metadata)
    fresh = load_tiny("sd1")
    load_adapter(fresh, tmp_path)
    torch.testing.assert_close(predict(fresh), predict(model), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("kind", "text", "dora"), CASES)
def test_saved_adapter_loads_in_a_plain_diffusers_pipeline(load_tiny, tiny_models, tmp_path, kind, text, dora):
    model = trained(load_tiny, kind, text, dora)
    save_adapter(model, tmp_path)
    pipeline = DiffusionPipeline.from_pretrained(tiny_models / kind)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_lora_weights(tmp_path)
    network = getattr(pipeline, model.denoiser_name)
    if model.denoiser_name == "unet":
        network.to(memory_format=torch.channels_last)
    assert network.peft_config["default_0"].lora_alpha == 8
    options = {"num_inference_steps": 2, "output_type": "latent", "height": 64, "width": 64}
    images = [
        p("a sksToy toy", generator=torch.Generator().manual_seed(0), **options).images
        for p in (pipeline, model.pipeline)
    ]
    torch.testing.assert_close(*images, rtol=0, atol=1e-5)


def test_fresh_adapter_changes_nothing(load_tiny):
    model = load_tiny("sdxl")
    before = predict(model)
    method(text=True).attach(model, seed=0)
    assert torch.equal(predict(model), before)


def test_initial_weights_depend_on_the_seed_alone(load_tiny):
    def weights(seed, noise):
        model = load_tiny("sd1")
        torch.manual_seed(noise)
        return method().attach(model, seed)[0].parameters

    first, second, other = weights(0, 1), weights(0, 2), weights(1, 1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_adapter_is_float32_over_any_base(load_tiny, dtype):
    groups = method(text=True).attach(load_tiny("sdxl", dtype), seed=0)
    assert [group.name for group in groups] == ["unet", "text_encoder"]
    assert {p.dtype for group in groups for p in group.parameters.values()} == {torch.float32}


@pytest.mark.parametrize("text", [False, True])
def test_gradients_reach_exactly_the_adapter(load_tiny, text):
    model = load_tiny("sdxl")
    groups = method(text=text).attach(model, seed=0)
    denoiser = Denoiser(model, text, False).train()
    captions = ["a sksToy toy"] if text else model.encode_text(["a sksToy toy"])
    denoiser(torch.ones(1, 4, 8, 8), torch.tensor([3]), captions, torch.full((1, 2), 64.0)).square().mean().backward()
    trained_ids = {id(p) for group in groups for p in group.parameters.values()}
    for module in (model.pipeline.vae, *adaptable(model).values()):
        for name, parameter in module.named_parameters():
            assert (parameter.grad is not None) == (id(parameter) in trained_ids), name
    for group in groups:
        for name, parameter in group.parameters.items():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert "lora_B" not in name or parameter.grad.abs().sum() > 0, name


def test_only_part_switches_the_other_parts_off(load_tiny):
    model = trained(load_tiny, "sdxl", True, False)
    full = predict(model)
    with only_part(model, "unet"):
        unet = predict(model)
    with only_part(model, "text_encoder"):
        text = predict(model)
    assert torch.equal(predict(model), full)
    assert not torch.equal(unet, full)
    assert not torch.equal(text, full)
    assert not torch.equal(unet, text)


def test_header_holds_rank_and_alpha_and_no_path_of_this_machine(load_tiny, tiny_models, tmp_path):
    save_adapter(trained(load_tiny, "sdxl", True, False), tmp_path)
    with safe_open(tmp_path / WEIGHTS, "pt") as file:
        header = json.loads(file.metadata()["lora_adapter_metadata"])
    assert (header["unet.r"], header["unet.lora_alpha"], header["text_encoder_2.r"]) == (4, 8, 4)
    assert str(tiny_models).encode() not in (tmp_path / WEIGHTS).read_bytes()


def test_adapter_of_another_base_is_refused(load_tiny, tmp_path):
    save_adapter(trained(load_tiny, "sd1", False, False), tmp_path)
    with pytest.raises(ModelMismatchError, match="another base model"):
        load_adapter(load_tiny("sdxl"), tmp_path)


def test_missing_and_damaged_adapters_are_refused(load_tiny, tmp_path):
    with pytest.raises(ModelMismatchError, match="expected a checkpoint"):
        load_adapter(load_tiny("sd1"), tmp_path)
    save_adapter(trained(load_tiny, "sd1", False, False), tmp_path)
    file = tmp_path / WEIGHTS
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelMismatchError, match="not a whole"):
        load_adapter(load_tiny("sd1"), tmp_path)


@pytest.mark.parametrize("values", [{"rank": 0}, {"alpha": 0.0}, {"text": True, "dora": True}])
def test_bad_values_are_refused(values):
    with pytest.raises(ConfigError, match="method"):
        method(**values)


def test_files_name_text_encoders_as_other_tools_do_and_older_files_load(load_tiny, tmp_path):
    """transformers dropped text_model. from some encoders; tools with an older one would find no layer."""
    model = trained(load_tiny, "sdxl", True, False)
    save_adapter(model, tmp_path)
    tensors, metadata = load_tensors(tmp_path / WEIGHTS)
    of_text = [name for name in tensors if name.startswith("text_encoder")]
    assert {name.split(".")[0] for name in of_text} == {"text_encoder", "text_encoder_2"}
    assert all(name.split(".")[1:3] == ["text_model", "encoder"] for name in of_text)
    bare = {name.replace("text_encoder.text_model.", "text_encoder."): value for name, value in tensors.items()}
    assert bare.keys() != tensors.keys()
    save_tensors(tmp_path / WEIGHTS, bare, metadata)
    fresh = load_tiny("sdxl")
    load_adapter(fresh, tmp_path)
    torch.testing.assert_close(predict(fresh), predict(model), rtol=0, atol=1e-6)
