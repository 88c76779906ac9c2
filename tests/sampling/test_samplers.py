"""Which samplers fit a base model is known before anything is trained."""

import json

import pytest

from src.core.errors import ConfigError
from src.sampling.samplers import DIFFUSION, FLOW, check_fit, check_name

DDIM = {"_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}


@pytest.fixture
def model(tmp_path):
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    (tmp_path / "scheduler/scheduler_config.json").write_text(json.dumps(DDIM | {"prediction_type": "v_prediction"}))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("KarrasVeScheduler", {}, "no such scheduler in diffusers, expected one of DDIMScheduler"),
        ("AutoencoderKL", {}, "no such scheduler"),
        (
            "DDIMScheduler",
            {"algorithm_type": "x"},
            "sampler.options.algorithm_type: DDIMScheduler takes no such option",
        ),
    ],
)
def test_what_is_no_sampler_is_refused_by_name(name, options, message):
    with pytest.raises(ConfigError, match=message):
        check_name(name, options)


@pytest.mark.parametrize(
    ("name", "options", "steps", "message"),
    [
        ("DPMSolverMultistepScheduler", {"algorithm_type": "nope"}, 3, "nope"),
        ("DDIMScheduler", {"prediction_type": "nope"}, 3, "predicts v_prediction: .*nope"),
        ("PNDMScheduler", {}, 2, "2 steps: does not fit"),
        ("DDIMScheduler", {}, 5000, r"num_inference_steps=5000: expected 1 to 1000, the steps that .* is trained with"),
    ],
)
def test_what_does_not_fit_the_model_is_refused_with_the_reason(model, name, options, steps, message):
    with pytest.raises(ConfigError, match=message):
        check_fit(name, options, steps, model)


@pytest.mark.parametrize("name", sorted(set(DIFFUSION) - {"DPMSolverSDEScheduler"}))  # that one needs torchsde
def test_the_others_fit(model, name):
    check_fit(name, {}, 5, model)


def test_flows_and_diffusion_have_samplers_of_their_own(model, tiny_models):
    check_fit("FlowMatchEulerDiscreteScheduler", {}, 5, tiny_models / "flux")
    with pytest.raises(ConfigError, match=r"predicts a flow: .*support custom sigmas.*; try sampler=flow_euler"):
        check_fit("FlowMatchHeunDiscreteScheduler", {}, 5, tiny_models / "flux")
    for name in FLOW:
        check_fit(name, {}, 5, tiny_models / "sd3")
        with pytest.raises(
            ConfigError, match=r"is trained with diffusion, expected one of DDIMScheduler.*sampler=ddim"
        ):
            check_fit(name, {}, 5, model)
    with pytest.raises(ConfigError, match=r"trained with a flow, expected one of FlowMatchEuler.*sampler=flow_euler"):
        check_fit("DDIMScheduler", {}, 5, tiny_models / "sd3")
