import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

from src.comparison.selected import Selection, write_selection
from src.core.config import load_settings
from src.core.errors import ConfigError, MetricError, ModelMismatchError
from src.core.provenance import model_digest
from src.core.sealed import write_sealed
from src.metrics.names import BASE
from src.models.tensors import save_tensors
from src.sampling.cache import SampleCache, png_bytes
from src.sampling.generator import Job, SamplingSettings
from src.sampling.prompts import Prompt, subject_only_prompts
from src.sampling.variants import Variant, chosen_checkpoint, list_checkpoints
from src.stages.generate import generate_variants, list_variants, names_tested
from src.stages.sampling_setup import generation_code
from src.training.determinism import set_deterministic
from tests.methods.foreign.layouts import kohya_sdxl, updates_of

SETTINGS = SamplingSettings(64, 2, 3, 5.0, "", 4, 0, "DDIMScheduler", {}, "fp32")
CPU = torch.device("cpu")


def checkpoint(folder):
    folder.mkdir(parents=True)
    (folder / "pytorch_lora_weights.safetensors").write_bytes(folder.name.encode())
    return folder


def test_checkpoints_are_listed_by_step(tmp_path):
    for step in ("step-000120", "step-000040"):
        checkpoint(tmp_path / step)
    found = list_checkpoints(tmp_path)
    assert [variant.name for variant in found] == ["step-000040", "step-000120"]
    assert len({variant.digest for variant in found}) == 2


def test_one_checkpoint_is_taken_as_it_is(tmp_path):
    assert [v.name for v in list_checkpoints(checkpoint(tmp_path / "mine"))] == ["mine"]


def test_a_folder_without_checkpoints_is_refused(tmp_path):
    with pytest.raises(ModelMismatchError, match=r"inferencer\.ckpt_dir"):
        list_checkpoints(tmp_path)


def test_cache_tells_everything_apart_that_decides_an_image(tmp_path):
    job = Job(Prompt("a", "test", "g", "a toy"), "a toy", 0)
    (tmp_path / "m").mkdir()
    (tmp_path / "m/weights").write_text("1")

    def path(settings=SETTINGS, adapter="", generated=job, model="hub/id", revision="r", by="src.stages.generate"):
        weights = model_digest(model, revision, None)
        return SampleCache.open(tmp_path / "c", weights, CPU, settings, generation_code(by)).path(adapter, generated)

    first = path(model=str(tmp_path / "m"))
    (tmp_path / "m/weights").write_text("2")
    paths = [
        first,
        path(model=str(tmp_path / "m")),
        path(),
        path(adapter="x"),
        path(revision="s"),
        path(dataclasses.replace(SETTINGS, guidance_scale=3.0)),
        path(dataclasses.replace(SETTINGS, seed=1)),
        path(generated=dataclasses.replace(job, seed=1)),
        path(generated=dataclasses.replace(job, text="a dog")),
        path(by="src.stages.class_images"),
        path(generated=Job(Prompt("b", "test", "g", "a toy"), "a toy", 0)),
    ]
    set_deterministic(not torch.are_deterministic_algorithms_enabled())
    paths.append(path())
    set_deterministic(not torch.are_deterministic_algorithms_enabled())
    assert len(set(paths)) == len(paths)
    assert path(dataclasses.replace(SETTINGS, num_images_per_prompt=9)) == path()


def test_settings_that_are_off_change_no_name():
    """What is kept of a picture today is found tomorrow, whatever can be set beside it."""
    setting = json.loads(SampleCache.open(Path(), "m", CPU, SETTINGS, "c").setting)
    own = {"resolution": 64, "num_inference_steps": 3, "guidance_scale": 5.0, "negative_prompt": "", "batch_size": 4}
    own |= {"seed": 0, "sampler": "DDIMScheduler", "sampler_options": {}, "dtype": "fp32"}
    assert setting == {"model": "m", "device": "cpu", "code": "c", **own}


def test_manifest_tells_what_was_generated_from_what_clip_reads(tmp_path, monkeypatch):
    """Every image is in the cache, so that no model is needed."""
    cached = tmp_path / "cached.png"
    write_sealed(cached, png_bytes(Image.new("RGB", (8, 8))))
    monkeypatch.setattr(SampleCache, "path", lambda *_: cached)
    monkeypatch.chdir(tmp_path)
    images = ["validation_args.num_images_per_prompt=1", "validation_args.num_subject_only_images=1"]
    params = load_settings(["model=tiny", "subject.token=sksToy", "subject.class_name=toy", "device=cpu", *images])
    variants = [Variant(BASE, None), Variant("step-000001", checkpoint(tmp_path / "step-000001"))]
    prompts = [
        Prompt("moon", "test", "recontext", "a {subject} on a moon"),
        *subject_only_prompts("a photo of a {subject}"),
    ]
    out = tmp_path / "samples"
    assert generate_variants(params, variants, prompts, out) == 6
    manifest = pd.read_csv(out / "manifest.csv").set_index(["variant", "set"])
    assert manifest["prompt"].to_dict() == {
        ("base", "test"): "a toy on a moon",
        ("base", "class-only"): "a photo of a toy",
        ("base", "subject-only"): "a photo of a toy",
        ("step-000001", "test"): "a sksToy toy on a moon",
        ("step-000001", "class-only"): "a photo of a toy",
        ("step-000001", "subject-only"): "a photo of a sksToy toy",
    }
    for variant in ("base", "step-000001"):
        assert manifest.loc[variant, "prompt_plain"].to_list() == manifest.loc["base", "prompt"].to_list()


def test_an_adapter_of_another_base_is_refused_before_the_base_is_loaded(load_tiny, tiny_models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("src.stages.drawing.load_base_model", lambda *_: pytest.fail("a base model was loaded"))
    file = kohya_sdxl(updates_of(load_tiny("sdxl")))
    save_tensors(tmp_path / "xl.safetensors", file.tensors, file.metadata)
    params = load_settings(["model=tiny", f"model.id={tiny_models / 'sd1'}", "device=cpu"])
    moon = [Prompt("moon", "test", "single", "a {subject} on a moon")]
    with pytest.raises(
        ModelMismatchError, match=r"xl: adapts a text_encoder_2, .* is a StableDiffusionPipeline without"
    ):
        generate_variants(params, list_checkpoints(tmp_path / "xl.safetensors"), moon, tmp_path / "samples")


@pytest.fixture
def three(tmp_path, monkeypatch):
    """Base and three checkpoints, of which the second was chosen."""
    monkeypatch.chdir(tmp_path)
    adapter = tmp_path / "models/adapter"
    for step in (100, 200, 300):
        checkpoint(adapter / f"step-{step:06d}")
    params = load_settings(["model=tiny", "exp.run_dir=outputs"])
    variants = list_variants(params)
    digests = {variant.name: variant.digest for variant in variants[1:]}
    write_selection(tmp_path / "metrics/choice.json", Selection("step-000200", "highest"), digests)
    return params, variants


def test_the_test_prompts_are_generated_by_base_and_the_chosen_checkpoint(three):
    params, variants = three
    assert names_tested(params, variants) == {BASE, "step-000200"}
    assert names_tested(params, variants[:2]) == {BASE, "step-000100"}, "there is no other"
    params.inferencer.test_checkpoints = "all"
    assert names_tested(params, variants) == {BASE, "step-000100", "step-000200", "step-000300"}
    params.inferencer.test_checkpoints = "some"
    with pytest.raises(ConfigError, match="test_checkpoints=some: expected chosen or all"):
        names_tested(params, variants)


def test_a_choice_of_the_run_itself_comes_first_and_one_of_other_checkpoints_is_refused(three, tmp_path):
    params, variants = three
    digests = {variant.name: variant.digest for variant in variants[1:]}
    write_selection(tmp_path / "outputs/metrics/choice.json", Selection("step-000300", "last"), digests)
    assert names_tested(params, variants) == {BASE, "step-000300"}
    (tmp_path / "models/adapter/step-000300/pytorch_lora_weights.safetensors").write_bytes(b"another training")
    with pytest.raises(MetricError, match="made of other checkpoints"):
        names_tested(params, list_variants(params))


def test_the_choice_that_fits_is_found_beside_one_that_does_not(three, tmp_path):
    params, variants = three
    write_selection(
        tmp_path / "outputs/metrics/choice.json", Selection("step-000300", "last"), {"step-000300": "other"}
    )
    assert names_tested(params, variants) == {BASE, "step-000200"}


def test_one_prompt_is_generated_with_the_chosen_checkpoint_else_with_the_newest(three, tmp_path, capsys):
    adapter = tmp_path / "models/adapter"
    assert chosen_checkpoint(adapter).name == "step-000200"
    assert "step-000200: chosen on the development prompts" in capsys.readouterr().out
    assert chosen_checkpoint(adapter / "step-000100").name == "step-000100"
    (adapter / "step-000300/pytorch_lora_weights.safetensors").write_bytes(b"another training")
    assert chosen_checkpoint(adapter).name == "step-000300"
    said = capsys.readouterr().out
    assert "made of other checkpoints" in said
    assert "step-000300: the newest of 3" in said
    (tmp_path / "metrics/choice.json").unlink()
    assert chosen_checkpoint(adapter).name == "step-000300"
    assert "other checkpoints" not in capsys.readouterr().out


def test_checkpoints_that_were_not_chosen_generate_the_dev_prompts_alone(three, tmp_path, monkeypatch):
    cached = tmp_path / "cached.png"
    write_sealed(cached, png_bytes(Image.new("RGB", (8, 8))))
    monkeypatch.setattr(SampleCache, "path", lambda *_: cached)
    params, variants = three
    prompts = [Prompt(name, name, "g", f"a {{subject}} on a {name}") for name in ("dev", "test")]
    count = generate_variants(params, variants, prompts, tmp_path / "samples", tested={BASE, "step-000200"})
    manifest = pd.read_csv(tmp_path / "samples/manifest.csv")
    assert manifest.groupby("variant")["set"].agg(list).to_dict() == {
        BASE: ["dev", "test"],
        "step-000100": ["dev"],
        "step-000200": ["dev", "test"],
        "step-000300": ["dev"],
    }
    assert count == len(manifest) == 6


def test_png_bytes_are_repeatable_and_hold_nothing_but_pixels():
    image = Image.effect_noise((32, 32), 50).convert("RGB")
    image.info["exif"] = b"PII-SENTINEL"
    image.info["comment"] = "PII-SENTINEL"
    assert png_bytes(image) == png_bytes(image.copy())
    assert b"PII" not in png_bytes(image)
