"""FLUX in small against diffusers' own pipeline and training script."""

import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline
from diffusers.pipelines.flux.pipeline_flux import calculate_shift

from src.core.config import load_settings
from src.core.errors import ConfigError
from src.core.seeding import derive_seed
from src.models.families import load_base_model
from src.models.flux import TRAINING_GUIDANCE
from src.noise.flow import RectifiedFlow
from src.sampling.generator import Job, SamplingSettings, sample
from src.sampling.prompts import Prompt
from src.stages.sampling_setup import check_base, sampling_settings

STEPS, TEXT = 5, "a photo of a toy"
CPU = torch.device("cpu")


@pytest.fixture(params=[True, False], ids=["dev", "schnell"])
def folder(request, tiny_models, tmp_path):
    """A model with and without the embedding of the guidance."""
    if request.param:
        return tiny_models / "flux"
    pipeline = FluxPipeline.from_pretrained(tiny_models / "flux")
    config = {key: value for key, value in pipeline.transformer.config.items() if not key.startswith("_")}
    torch.manual_seed(0)
    pipeline.transformer = type(pipeline.transformer)(**config | {"guidance_embeds": False})
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)
    pipeline.save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 96)])
@torch.no_grad()
def test_a_trajectory_is_that_of_diffusers_pipeline(folder, height, width):
    """Euler's method over our prediction, from the same noise: x + (t' - t) (noise - x_0)."""
    pipeline, ours = FluxPipeline.from_pretrained(folder), load_base_model(str(folder), None, None, "fp32", CPU)
    noise = torch.randn(1, 16, height // 8, width // 8, generator=torch.Generator().manual_seed(0))
    packed, points = pipeline._pack_latents(noise, 1, 16, height // 8, width // 8), []
    pipeline(
        TEXT,
        height=height,
        width=width,
        num_inference_steps=STEPS,
        guidance_scale=TRAINING_GUIDANCE,
        latents=packed,
        callback_on_step_end=lambda _, __, ___, values: points.append(values["latents"]) or values,
        output_type="latent",
    )
    times, x_t, text = pipeline.scheduler.sigmas, noise, ours.encode_text([TEXT])
    assert len(points) == STEPS == len(times) - 1
    for time, later, point in zip(times, times[1:], points, strict=False):
        x_t = x_t + (later - time) * ours.predict(x_t, time[None], text, torch.full((1, 2), 64.0))
        expected = pipeline._unpack_latents(point, height, width, 8)
        torch.testing.assert_close(x_t, expected, rtol=0, atol=1e-5)
    assert (x_t - noise).abs().max() > 0.1


@torch.no_grad()
def test_the_guidance_of_the_images_is_the_samplers(tiny_models):
    ours, images = load_base_model(str(tiny_models / "flux"), None, None, "fp32", CPU), []
    for scale in (1.0, 3.5):
        settings = SamplingSettings(64, 1, 2, scale, "", 1, 0, "FlowMatchEulerDiscreteScheduler", {}, "fp32")
        [(_, image)] = sample(ours, settings, [Job(Prompt("a", "test", "g", TEXT), TEXT, 0)])
        plain = FluxPipeline.from_pretrained(tiny_models / "flux")
        random = torch.Generator().manual_seed(derive_seed(0, "sample", "a", 0))
        expected = plain(TEXT, height=64, width=64, num_inference_steps=2, guidance_scale=scale, generator=random)
        assert np.abs(np.asarray(image).astype(int) - np.asarray(expected.images[0]).astype(int)).max() <= 1
        images.append(np.asarray(image))
    assert not np.array_equal(*images)


def test_times_are_those_of_diffusers_training_script(folder):
    """The script draws an index uniformly and looks it up in a scheduler that nobody has told a resolution."""
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(folder, subfolder="scheduler")
    process = load_base_model(str(folder), None, None, "fp32", CPU).process
    for index in (0, 250, 999):
        assert process.time_at(1 - index / 1000) == pytest.approx(float(scheduler.sigmas[index]), abs=1e-6)
    random = torch.Generator().manual_seed(0)
    times = torch.cat([process.sample_time(random) for _ in range(4000)])
    assert 0 < times.min() < times.max() <= 1
    assert torch.histc(times, 4, 0, 1) / 4000 == pytest.approx(torch.full((4,), 0.25), abs=0.03)


def test_a_shift_of_the_resolution_is_the_samplers_alone():
    fixed = FlowMatchEulerDiscreteScheduler(shift=3.0)
    by_resolution = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    assert [RectifiedFlow.of(each.config, uniform=False).shift for each in (fixed, by_resolution)] == [3.0, 1.0]
    # the pipeline's, at 1024 px
    assert np.exp(calculate_shift(4096)) == pytest.approx(3.158, abs=1e-3)


def test_guidance_that_is_not_looked_at_is_refused_before_the_model_loads(folder):
    embeds = json.loads((folder / "transformer/config.json").read_text())["guidance_embeds"]

    def check(*overrides):
        place = [f"model.id={folder}", "model.revision=null", "model.resolution=64"]
        params = load_settings(["model=flux_dev", *place, *overrides])
        check_base(params, sampling_settings(params))

    check("validation_args.guidance_scale=1")
    with pytest.raises(ConfigError, match=r"negative_prompt='blurry': .* expected an empty one"):
        check("validation_args.guidance_scale=1", "validation_args.negative_prompt=blurry")
    refused = pytest.raises(ConfigError, match=r"guidance_scale=3\.5: .* reads no guidance; expected 1")
    with nullcontext() if embeds else refused:
        check()
