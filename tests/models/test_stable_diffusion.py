import json

import pytest
import torch
from diffusers import DiffusionPipeline

from src.core.errors import CaptionError, MissingModelError, ModelMismatchError
from src.models.stable_diffusion import Denoiser, load_stable_diffusion, time_ids

KINDS = ("sd1", "sd2", "sdxl")


@pytest.mark.parametrize(
    ("kind", "is_xl", "prediction"),
    [
        ("sd1", False, "epsilon"),
        ("sd2", False, "v_prediction"),
        ("sdxl", True, "epsilon"),
    ],
)
def test_architecture_is_read_from_the_files(load_tiny, kind, is_xl, prediction):
    model = load_tiny(kind)
    assert model.is_xl == is_xl
    assert model.noise_scheduler.config.prediction_type == prediction
    assert model.resolution == 64


@pytest.mark.parametrize("kind", KINDS)
def test_base_model_is_frozen_and_in_eval_mode(load_tiny, kind):
    model = load_tiny(kind)
    for part in (model.pipeline.unet, model.pipeline.vae, *model.text_encoders.values()):
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
    scale = model.pipeline.vae.config.scaling_factor
    assert scale == (0.13025 if kind == "sdxl" else 0.18215)
    torch.testing.assert_close(mean, posterior.mean * scale)
    torch.testing.assert_close(std, posterior.std * scale)
    assert mean.shape == (2, 4, 8, 8)


@pytest.mark.parametrize("kind", KINDS)
def test_denoiser_predicts_what_the_pipelines_unet_is_given(load_tiny, kind):
    """Follows a real pipeline's first sampler step and repeats it through the denoiser."""
    model = load_tiny(kind)
    calls = []
    unet = model.pipeline.unet
    original = unet.forward

    def spy(sample, timestep, **kwargs):
        result = original(sample, timestep, **kwargs)
        calls.append((sample, timestep, kwargs, result[0]))
        return result

    unet.forward = spy
    model.pipeline(
        "a photo of a toy", num_inference_steps=1, guidance_scale=1.0, output_type="latent", height=64, width=64
    )
    unet.forward = original
    sample, timestep, kwargs, expected = calls[0]
    text = model.encode_text(["a photo of a toy"])
    torch.testing.assert_close(text.embeds, kwargs["encoder_hidden_states"])
    if kind == "sdxl":
        expected_ids = kwargs["added_cond_kwargs"]["time_ids"].float()
        torch.testing.assert_close(time_ids(torch.full((1, 2), 64.0), (8, 8), 8), expected_ids)
    with torch.no_grad():
        found = Denoiser(model, False, False)(sample, timestep.expand(1), text, torch.full((1, 2), 64.0))
    torch.testing.assert_close(found, expected)


def test_gradient_checkpointing_changes_no_gradient(load_tiny):
    gradients = []
    for checkpointing in (False, True):
        model = load_tiny("sdxl")
        denoiser = Denoiser(model, True, checkpointing).train()
        denoiser.unet.conv_in.weight.requires_grad_(True)
        model.pipeline.text_encoder.get_input_embeddings().weight.requires_grad_(True)
        x = torch.ones(1, 4, 8, 8)
        denoiser(x, torch.tensor([3]), ["a toy"], torch.full((1, 2), 64.0)).square().mean().backward()
        gradients.append(
            (denoiser.unet.conv_in.weight.grad, model.pipeline.text_encoder.get_input_embeddings().weight.grad)
        )
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
        load_stable_diffusion(str(tmp_path), None, None, "fp32", torch.device("cpu"))
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    with pytest.raises(ModelMismatchError, match="FluxPipeline"):
        load_stable_diffusion(str(tmp_path), None, None, "fp32", torch.device("cpu"))


def test_missing_model_says_which_command_fetches_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(MissingModelError, match=r"src\.commands\.fetch"):
        load_stable_diffusion("owner/name", "0" * 40, None, "fp32", torch.device("cpu"))


@pytest.mark.parametrize("kind", KINDS)
def test_tiny_models_load_in_a_plain_pipeline(tiny_models, kind):
    pipeline = DiffusionPipeline.from_pretrained(tiny_models / kind)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline("a toy", num_inference_steps=2).images[0].size == (64, 64)
