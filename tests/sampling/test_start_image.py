"""Beginning with a picture: by diffusers' own pipelines, with the autoencoder's mean instead of a draw."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from PIL import Image

from src.models.base import StartImage
from src.models.pixels import as_image, to_bytes
from src.sampling.generator import Job, SamplingSettings, sample
from src.sampling.prompts import Prompt

IMAGE = Image.effect_noise((96, 64), 60).convert("RGB")
SETTINGS = SamplingSettings(
    64, 1, 4, 1.0, "", 2, 0, "DDIMScheduler", {}, "fp32", height=64, width=96, start=StartImage(IMAGE, "x", 0.25)
)
JOBS = [Job(Prompt("a", "test", "g", "a toy"), "a toy", number, 10 + number) for number in range(2)]


def arrays(model, settings):
    return [np.asarray(image).astype(int) for _, image in sample(model, settings, JOBS)]


def noised(model, alpha, number):
    """The picture's latents with noise, and that noise, as equation 4 of DDPM (arXiv:2006.11239) has it."""
    pixels = torch.from_numpy(np.array(IMAGE)).permute(2, 0, 1)[None].float() / 127.5 - 1
    mean = model.encode_image(pixels)[0]
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(10 + number))
    return alpha.sqrt() * mean + (1 - alpha).sqrt() * noise


def test_one_step_of_four_is_that_of_the_formula(load_tiny):
    """DDIM (arXiv:2010.02502), equation 12 with eta 0, from the last of four timesteps."""
    model = load_tiny("sd1")
    alphas = model.process.alphas_cumprod
    images = arrays(model, SETTINGS)
    scheduler = DDIMScheduler.from_config(model.pipeline.scheduler.config)
    scheduler.set_timesteps(4)
    time = scheduler.timesteps[-1:]
    text = model.encode_text(["a toy"])
    final = scheduler.final_alpha_cumprod
    for number, image in enumerate(images):
        x_t = noised(model, alphas[time], number)
        with torch.no_grad():
            noise = model.predict(x_t, time, text, torch.full((1, 2), 64.0))
        x_0 = (x_t - (1 - alphas[time]).sqrt() * noise) / alphas[time].sqrt()
        x_0 = x_0.clamp(-1, 1) if scheduler.config.clip_sample else x_0
        pixels = model.decode(final.sqrt() * x_0 + (1 - final).sqrt() * noise)
        assert np.abs(np.asarray(as_image(to_bytes(pixels[0]))).astype(int) - image).max() <= 1


@pytest.mark.parametrize(
    ("kind", "sampler"),
    [
        ("sd1", "DPMSolverMultistepScheduler"),
        ("sdxl", "EulerDiscreteScheduler"),
        ("sd3", "FlowMatchEulerDiscreteScheduler"),
        ("flux", "FlowMatchEulerDiscreteScheduler"),
    ],
)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_every_family_and_precision_begins_with_a_picture_and_repeats_it(load_tiny, kind, sampler, dtype):
    model = load_tiny(kind, dtype)
    settings = replace(SETTINGS, sampler=sampler, dtype=dtype, start=StartImage(IMAGE, "x", 0.5))
    first, second = arrays(model, settings), arrays(model, settings)
    assert first[0].shape == (64, 96, 3)
    assert all(map(np.array_equal, first, second))
    assert not np.array_equal(*first)
    whole = arrays(model, replace(settings, start=None))
    assert not np.array_equal(first[0], whole[0])
    # the picture's neighbours in a batch do not matter, nor does what was drawn before
    [(_, alone)] = sample(model, settings, JOBS[1:])
    assert np.array_equal(np.asarray(alone), first[1])
