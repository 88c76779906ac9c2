"""A base model and a method that nobody has heard of: each is one class, and nothing else changes."""

import json
import shutil
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import pytest
import torch
from diffusers import StableDiffusionPipeline

from src.core.errors import ModelMismatchError
from src.methods import formats
from src.methods.base import ParameterGroup
from src.methods.lora import LoraFormat
from src.models.base import denoiser
from src.models.families import FAMILIES, load_base_model
from src.models.sd import StableDiffusion
from src.models.tensors import load_tensors, save_tensors
from src.noise.flow import RectifiedFlow
from src.sampling.cache import SampleCache
from src.sampling.generator import SamplingSettings
from src.sampling.prompts import Prompt
from src.sampling.variants import Variant, generate_missing, list_checkpoints, missing_jobs, plan_images, write_samples
from src.training.loop import train
from src.training.validation import validate

CPU = torch.device("cpu")
SETTINGS = SamplingSettings(64, 1, 2, 3.0, "", 1, 0, "DDIMScheduler", {}, "fp32")


@dataclass(frozen=True)
class ToyBase(StableDiffusion):
    """The weights of a Stable Diffusion, read as a flow."""

    @staticmethod
    def load(folder, _variant, dtype, device):
        pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, dtype=dtype)
        pipeline.set_progress_bar_config(disable=True)
        for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
            part.requires_grad_(False)
        return ToyBase(pipeline, RectifiedFlow(2.0), device, dtype)

    def predict(self, x_t, time, text, size_px):
        return super().predict(x_t, time * 1000, text, size_px)


class ToyMethod:
    """Trains one number for each latent channel, which is added to the prediction."""

    trains_text = needs_fp32 = False
    quantized_bases = ()

    def attach(self, model, _seed):
        module = denoiser(model)
        module.shift = torch.nn.Parameter(torch.zeros(4, 1, 1))
        module.register_forward_hook(lambda owner, _, result: (result[0] + owner.shift,))
        return [ParameterGroup(model.denoiser_name, {"shift": module.shift}, None)]

    def only_part(self, _model, _part):
        return nullcontext()

    def save(self, model, folder):
        folder.mkdir(parents=True, exist_ok=True)
        save_tensors(folder / ToyFormat.files[0], {"shift": denoiser(model).shift}, {})

    def start(self, model, folder):
        denoiser(model).shift.data.copy_(load_tensors(folder / ToyFormat.files[0])[0]["shift"])


class ToyFormat:
    files = ("toy.safetensors",)

    def check_file(self, folder):
        load_tensors(folder / self.files[0])

    def check_fit(self, model, _folder):
        if model.pipeline.vae.config.latent_channels != 4:
            raise ModelMismatchError("another base model")

    @contextmanager
    def applied(self, model, folder):
        shift = load_tensors(folder / self.files[0])[0]["shift"]
        hook = denoiser(model).register_forward_hook(lambda _, __, result: (result[0] + shift,))
        yield
        hook.remove()


@pytest.fixture
def toy_base(tiny_models, tmp_path, monkeypatch):
    monkeypatch.setitem(FAMILIES, "ToyPipeline", ToyBase)
    shutil.copytree(tiny_models / "sd1", tmp_path / "toy")
    index = tmp_path / "toy/model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"_class_name": "ToyPipeline"}))
    return load_base_model(str(tmp_path / "toy"), None, None, "fp32", CPU)


def test_a_new_base_model_trains_and_is_adapted_as_the_others_are(toy_base, make_run, tmp_path):
    run = make_run(model=toy_base)
    first = validate(run)["val_loss"]
    saved = train(run)
    assert saved.step == 6
    assert saved.validations[-1]["val_loss"] < first
    checkpoint = tmp_path / "state/checkpoints/step-000006"
    fresh = load_base_model(str(tmp_path / "toy"), None, None, "fp32", CPU)
    with LoraFormat().applied(fresh, checkpoint):
        assert torch.isfinite(fresh.decode(torch.zeros(1, 4, 8, 8))).all()


def test_a_new_method_trains_resumes_and_generates_as_the_others_do(make_run, load_tiny, monkeypatch, tmp_path):
    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, ToyFormat()))
    whole = train(make_run(method=ToyMethod(), state="whole"))
    train(make_run(method=ToyMethod(), state="parts", steps=3))
    resumed = train(make_run(method=ToyMethod(), state="parts"))
    assert torch.equal(whole.tensors["shift"], resumed.tensors["shift"])
    assert whole.tensors["shift"].abs().min() > 0
    variants = [Variant("base", None), *list_checkpoints(tmp_path / "whole/checkpoints")]
    assert [variant.name for variant in variants] == ["base", "step-000003", "step-000006"]
    plan = plan_images(variants, [Prompt("a", "test", "g", "a {subject}")], ("sksToy", "toy"), {"test": 1})
    cache = SampleCache.open(tmp_path / "cache", "m", CPU, SETTINGS, "c")
    model = load_tiny("sd1")
    generate_missing(model, SETTINGS, missing_jobs(plan, cache), cache)
    assert not denoiser(model)._forward_hooks
    manifest = write_samples(tmp_path / "samples", plan, cache)
    assert manifest["sha256"].nunique() == 3
