import json

import pytest
import torch
from diffusers import DiffusionPipeline

from src.core.errors import CaptionError, MissingModelError, ModelMismatchError
from src.models.base import Denoiser, adaptable, denoiser, text_encoders
from src.models.families import load_base_model
from src.models.sd import StableDiffusion
from src.models.sd3 import StableDiffusion3
from src.models.sdxl import StableDiffusionXL, time_ids
from src.noise.flow import RectifiedFlow

KINDS = ("sd1", "sd2", "sdxl", "sd3", "flux")


@pytest.mark.parametrize(
    ("kind", "family", "prediction"),
    [
        ("sd1", StableDiffusion, "epsilon"),
        ("sd2", StableDiffusion, "v_prediction"),
        ("sdxl", StableDiffusionXL, "epsilon"),
    ],
)
def test_architecture_is_read_from_the_files(load_tiny, kind, family, prediction):
    model = load_tiny(kind)
    assert isinstance(model, family)
    assert model.process.prediction_type == prediction


def test_a_flow_matching_model_is_one_by_its_files(load_tiny):
    model = load_tiny("sd3")
    assert isinstance(model, StableDiffusion3)
    assert isinstance(model.process, RectifiedFlow)
    assert model.process.shift == 3.0
    assert list(adaptable(model)) == ["transformer", "text_encoder", "text_encoder_2"]


def test_stable_diffusion_3_works_without_its_third_encoder(tiny_models, load_tiny, tmp_path):
    """As people load it who lack the memory for T5."""
    pipeline = DiffusionPipeline.from_pretrained(tiny_models / "sd3", text_encoder_3=None, tokenizer_3=None)
    pipeline.save_pretrained(tmp_path)
    model = load_base_model(str(tmp_path), None, None, "fp32", torch.device("cpu"))
    text, with_it = model.encode_text(["a toy"]), load_tiny("sd3").encode_text(["a toy"])
    assert torch.equal(text.pooled, with_it.pooled)
    assert torch.equal(text.embeds[:, :77], with_it.embeds[:, :77])
    assert text.embeds[:, 77:].abs().max() == 0
    model.check_captions(["a toy"])


@pytest.mark.parametrize("kind", KINDS)
def test_base_model_is_frozen_and_in_eval_mode(load_tiny, kind):
    model = load_tiny(kind)
    for part in (model.pipeline.vae, *adaptable(model).values()):
        assert not part.training
        assert not any(p.requires_grad for p in part.parameters())


def test_vae_is_float32_whatever_the_rest_is(load_tiny):
    model = load_tiny("sdxl", "bf16")
    assert model.pipeline.unet.dtype == torch.bfloat16
    assert model.pipeline.vae.dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_encode_image_matches_the_scaled_posterior(load_tiny, kind):
    model = load_tiny(kind)
    pixels = torch.rand(2, 3, 64, 64) * 2 - 1
    mean, std = model.encode_image(pixels)
    posterior = model.pipeline.vae.encode(pixels).latent_dist
    scale, shift = {"sdxl": (0.13025, 0.0), "sd3": (1.5305, 0.0609), "flux": (0.3611, 0.1159)}.get(kind, (0.18215, 0.0))
    torch.testing.assert_close(mean, (posterior.mean - shift) * scale)
    torch.testing.assert_close(std, posterior.std * scale)
    assert mean.shape == (2, 16 if kind in ("sd3", "flux") else 4, 8, 8)
    restored = model.pipeline.vae.decode(posterior.mean).sample
    torch.testing.assert_close(model.decode(mean), restored, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["sd1", "sd2", "sdxl", "sd3"])
def test_denoiser_predicts_what_the_pipelines_network_is_given(load_tiny, kind):
    """Follows a real pipeline's first sampler step and repeats it through the denoiser."""
    model = load_tiny(kind)
    calls = []
    network = denoiser(model)
    original = network.forward

    def spy(*args, **kwargs):
        result = original(*args, **kwargs)
        sample, timestep = args or (kwargs["hidden_states"], kwargs["timestep"])
        calls.append((sample, timestep, kwargs, result[0]))
        return result

    network.forward = spy
    model.pipeline(
        "a photo of a toy", num_inference_steps=1, guidance_scale=1.0, output_type="latent", height=64, width=64
    )
    network.forward = original
    sample, timestep, kwargs, expected = calls[0]
    text = model.encode_text(["a photo of a toy"])
    torch.testing.assert_close(text.embeds, kwargs["encoder_hidden_states"])
    if kind == "sdxl":
        expected_ids = kwargs["added_cond_kwargs"]["time_ids"].float()
        torch.testing.assert_close(time_ids(torch.full((1, 2), 64.0), (8, 8), 8), expected_ids)
    if kind == "sd3":
        torch.testing.assert_close(text.pooled, kwargs["pooled_projections"])
        timestep = timestep / 1000
    with torch.no_grad():
        found = Denoiser(model, False, False)(sample, timestep.expand(1), text, torch.full((1, 2), 64.0))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", ["sdxl", "sd3", "flux"])
def test_gradient_checkpointing_changes_no_gradient(load_tiny, kind):
    gradients = []
    for checkpointing in (False, True):
        model = load_tiny(kind)
        module = Denoiser(model, True, checkpointing).train()
        watched = [
            next(denoiser(model).parameters()),
            text_encoders(model)["text_encoder"].get_input_embeddings().weight,
        ]
        for weight in watched:
            weight.requires_grad_(True)
        x = torch.ones(1, model.pipeline.vae.config.latent_channels, 8, 8)
        time = torch.tensor([model.process.time_at(0.3)])
        module(x, time, ["a toy"], torch.full((1, 2), 64.0)).square().mean().backward()
        gradients.append([weight.grad for weight in watched])
    for a, b in zip(*gradients, strict=True):
        assert a.abs().sum() > 0
        torch.testing.assert_close(a, b)


def test_long_caption_is_refused_with_its_text(load_tiny):
    caption = "qzx " * 60
    with pytest.raises(CaptionError, match="qzx qzx"):
        load_tiny("sd1").check_captions(["a toy", caption])


def test_time_ids_stay_exact_for_large_photos():
    ids = time_ids(torch.tensor([[3021.0, 3021.0]]), (128, 128), 8)
    assert ids.tolist() == [[3021.0, 3021.0, 0.0, 0.0, 1024.0, 1024.0]]


def test_other_architectures_are_refused(tmp_path):
    with pytest.raises(ModelMismatchError, match="model_index"):
        load_base_model(str(tmp_path), None, None, "fp32", torch.device("cpu"))
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "SanaPipeline"}))
    with pytest.raises(ModelMismatchError, match="is SanaPipeline, expected one of StableDiffusionPipeline"):
        load_base_model(str(tmp_path), None, None, "fp32", torch.device("cpu"))


def test_missing_model_says_which_command_fetches_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(MissingModelError, match=r"src\.commands\.fetch"):
        load_base_model("owner/name", "0" * 40, None, "fp32", torch.device("cpu"))


@pytest.mark.parametrize("kind", KINDS)
def test_tiny_models_load_in_a_plain_pipeline(tiny_models, kind):
    pipeline = DiffusionPipeline.from_pretrained(tiny_models / kind)
    pipeline.set_progress_bar_config(disable=True)
    # FLUX's files say no size
    sides = {"height": 64, "width": 64} if kind == "flux" else {}
    assert pipeline("a toy", num_inference_steps=2, **sides).images[0].size == (64, 64)
