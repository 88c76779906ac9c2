import dataclasses

import numpy as np
import pytest
import torch

from src.core.errors import ConfigError, NonFiniteError
from src.sampling.generator import Job, SamplingSettings, sample, to_image
from src.sampling.prompts import Prompt

SETTINGS = SamplingSettings(64, 2, 3, 5.0, "", 4, 0, "DPMSolverMultistepScheduler", {}, "fp32")


def job(prompt_id, seed, text="a photo of a toy"):
    return Job(Prompt(prompt_id, "test", "g", text), text, seed)


def pixels(model, settings, jobs):
    return {(j.prompt.id, j.seed): np.asarray(image) for j, image in sample(model, settings, jobs)}


@pytest.mark.parametrize("kind", ["sd1", "sd2", "sdxl"])
def test_image_does_not_depend_on_its_neighbours(load_tiny, kind):
    model = load_tiny(kind)
    jobs = [job("a", 0), job("a", 1), job("b", 0, "a red dog"), job("c", 0, "a blue cup"), job("c", 1, "a blue cup")]
    together = pixels(model, SETTINGS, jobs)
    reversed_order = pixels(model, SETTINGS, jobs[::-1])
    alone = {}
    for one in jobs:
        alone |= pixels(model, SETTINGS, [one])
    for key in together:
        assert np.array_equal(together[key], reversed_order[key])
        assert np.array_equal(together[key], alone[key])
    assert together["a", 0].shape == (64, 64, 3)


def test_another_batch_size_changes_a_pixel_by_one_level_at_most(load_tiny):
    model = load_tiny("sd1")
    jobs = [job("a", i) for i in range(3)]
    one, four = (pixels(model, dataclasses.replace(SETTINGS, batch_size=n), jobs) for n in (1, 4))
    for key in one:
        assert np.abs(one[key].astype(int) - four[key].astype(int)).max() <= 1


def test_images_differ_by_prompt_id_seed_and_text(load_tiny):
    model = load_tiny("sd1")
    generated = [
        image
        for _, image in sample(
            model,
            SETTINGS,
            [
                job("a", 0),
                job("a", 1),
                job("b", 0),
                job("a", 0, "a red dog on the grass"),
            ],
        )
    ]
    arrays = [np.asarray(image) for image in generated]
    assert all(not np.array_equal(a, b) for i, a in enumerate(arrays) for b in arrays[:i])


def test_base_and_run_start_from_the_same_noise(load_tiny):
    model = load_tiny("sd1")
    seen = []
    original = model.pipeline.prepare_latents
    model.pipeline.prepare_latents = lambda *a, **k: seen.append(original(*a, **k)) or seen[-1]
    list(sample(model, SETTINGS, [job("a", 0, "a toy")]))
    list(sample(model, SETTINGS, [job("a", 0, "a sksToy toy")]))
    assert torch.equal(seen[0], seen[1])


@pytest.mark.parametrize(("kind", "empty"), [("sdxl", True), ("sd1", False)])
def test_sdxl_reads_zeros_for_an_empty_negative_prompt_and_others_the_empty_text(load_tiny, kind, empty):
    model = load_tiny(kind)
    seen = []
    original = model.pipeline.encode_prompt
    model.pipeline.encode_prompt = lambda *a, **k: seen.append(original(*a, **k)) or seen[-1]
    for negative in ("", "blurry"):
        list(sample(model, dataclasses.replace(SETTINGS, negative_prompt=negative), [job("a", 0)]))
    assert [not tensors[1].any() for tensors in seen] == [empty, False]


def test_generating_leaves_scheduler_and_random_stream_alone(load_tiny):
    model = load_tiny("sd1")
    scheduler, stream = model.pipeline.scheduler, torch.get_rng_state()
    list(sample(model, SETTINGS, [job("a", 0)]))
    assert model.pipeline.scheduler is scheduler
    assert torch.equal(stream, torch.get_rng_state())


def test_sampler_keeps_the_models_prediction_type(load_tiny):
    import diffusers

    model = load_tiny("sd2")
    sampler = diffusers.DPMSolverMultistepScheduler.from_config(model.pipeline.scheduler.config)
    assert sampler.config.prediction_type == "v_prediction"


def test_an_image_of_non_finite_pixels_is_refused():
    with pytest.raises(NonFiniteError, match="fp32"):
        to_image(torch.full((1, 3, 8, 8), float("nan")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_images_per_prompt": 0}, "num_images_per_prompt=0"),
        ({"num_inference_steps": 0}, "num_inference_steps=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"sampler": "NoSuchScheduler"}, "NoSuchScheduler"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(SETTINGS, **change).check("validation_args")
