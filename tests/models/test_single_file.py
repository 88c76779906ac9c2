"""Single-file checkpoints in small: each gives what the folder gives that it was written from."""

import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from src.core.config import load_settings
from src.core.errors import ConfigError, ModelMismatchError
from src.models.autoencoder import reconstruct
from src.models.families import load_base_model
from src.stages.sampling_setup import check_base, sampling_settings
from tests.methods.test_lora import picture, predict
from tests.tiny.single_file import write_single_file

CPU = torch.device("cpu")
KINDS = ("sd1", "sd2", "sdxl", "sd3")


@pytest.fixture(scope="session")
def files(tiny_models, tmp_path_factory):
    root = tmp_path_factory.mktemp("files")
    for kind in KINDS:
        write_single_file(tiny_models / kind, root / f"{kind}.safetensors")
    return root


@pytest.fixture
def load(tiny_models, files):
    def loaded(kind, dtype="fp32", config=None, path=None):
        path = path or files / f"{kind}.safetensors"
        return load_base_model(str(path), None, None, dtype, CPU, str(config or tiny_models / kind))

    return loaded


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_predicts_encodes_and_generates_as_the_folder_does(load, load_tiny, kind):
    of_file, of_folder = load(kind), load_tiny(kind)
    assert type(of_file) is type(of_folder)
    assert torch.equal(predict(of_file), predict(of_folder))
    pixels = torch.rand(1, 3, 64, 64) * 2 - 1
    for ours, theirs in zip(of_file.encode_image(pixels), of_folder.encode_image(pixels), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(picture(of_file), picture(of_folder))
    parts = [part for part in of_file.pipeline.components.values() if isinstance(part, torch.nn.Module)]
    assert not any(part.training or weight.requires_grad for part in parts for weight in part.parameters())


@pytest.mark.parametrize("kind", ["sdxl", "sd3"])
def test_precision_is_the_wanted_one_and_the_vaes_float32(load, load_tiny, files, tmp_path, kind):
    half = {name: value.half() for name, value in load_file(files / f"{kind}.safetensors").items()}
    save_file(half, tmp_path / "half.safetensors")
    model = load(kind, "bf16", path=tmp_path / "half.safetensors")
    assert {weight.dtype for weight in model.pipeline.vae.parameters()} == {torch.float32}
    others = [model.pipeline.text_encoder, model.pipeline.text_encoder_2, getattr(model.pipeline, model.denoiser_name)]
    assert {weight.dtype for part in others for weight in part.parameters()} == {torch.bfloat16}
    assert (predict(model) - predict(load_tiny(kind, "bf16"))).abs().max() < 0.1


def test_settings_without_any_weights_are_enough(load, load_tiny, tiny_models, tmp_path):
    shutil.copytree(tiny_models / "sdxl", tmp_path / "settings", ignore=shutil.ignore_patterns("*.safetensors"))
    assert torch.equal(predict(load("sdxl", config=tmp_path / "settings")), predict(load_tiny("sdxl")))


def test_a_file_without_t5_works_where_the_settings_have_none(load, tiny_models, tmp_path):
    shutil.copytree(tiny_models / "sd3", tmp_path / "sd3", ignore=shutil.ignore_patterns("*_3"))
    model = load("sd3", config=tmp_path / "sd3")
    assert model.pipeline.text_encoder_3 is None
    assert torch.isfinite(predict(model)).all()


def test_photos_pass_through_the_files_autoencoder(files, tiny_models, tmp_path):
    from PIL import Image

    (tmp_path / "out").mkdir()
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(tmp_path / "photo.png")
    photo, found = tmp_path / "photo.png", []
    for model, config in ((files / "sd1.safetensors", str(tiny_models / "sd1")), (tiny_models / "sd1", None)):
        [path] = reconstruct(str(model), None, None, config, "cpu", [photo], tmp_path / "out")
        found.append(path.read_bytes())
    assert found[0] == found[1]


def check(kind, path, config, *overrides):
    words = [f"model={kind}", f"model.id={path}", f"model.config={config}", "model.revision=null"]
    params = load_settings([*words, "model.resolution=64", *overrides])
    check_base(params, sampling_settings(params))


def test_what_does_not_fit_is_refused_before_any_weight_loads(files, tiny_models, tmp_path):
    path, folder = files / "sdxl.safetensors", tiny_models / "sdxl"
    check("sdxl", path, folder)
    with pytest.raises(
        ModelMismatchError, match=r"a StableDiffusionXLPipeline, and .*sd1 has the settings of a Stable"
    ):
        check("sd15", path, tiny_models / "sd1")
    with pytest.raises(ConfigError, match=r"model\.variant=fp16: .* is a single file; expected null"):
        check("sdxl", path, folder, "model.variant=fp16")
    save_file(load_file(path) | {"v_pred": torch.zeros(0)}, tmp_path / "v.safetensors")
    with pytest.raises(ModelMismatchError, match=r"predicts velocity, and .* says epsilon"):
        check("sdxl", tmp_path / "v.safetensors", folder)
    shutil.copytree(folder, tmp_path / "v", ignore=shutil.ignore_patterns("*.safetensors"))
    scheduler = tmp_path / "v/scheduler/scheduler_config.json"
    scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | {"prediction_type": "v_prediction"}))
    check("sdxl", tmp_path / "v.safetensors", tmp_path / "v")


@pytest.mark.parametrize("part", ["model.diffusion_model.out.2.bias", "first_stage_model.quant_conv.bias"])
def test_missing_weights_are_refused(load, files, tmp_path, part):
    tensors = load_file(files / "sd1.safetensors")
    del tensors[part]
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(ModelMismatchError, match=r"a\.safetensors: lacks weights that the settings in .* tell of"):
        load("sd1", path=tmp_path / "a.safetensors")


def test_missing_text_weights_are_refused_by_name(load, files, tmp_path):
    lost = re.compile(r"conditioner\.embedders\.1\..*resblocks\.1\.ln_2\.bias")
    tensors = {name: value for name, value in load_file(files / "sdxl.safetensors").items() if not lost.fullmatch(name)}
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(ModelMismatchError, match="lacks 1 weights of the text_encoder_2"):
        load("sdxl", path=tmp_path / "a.safetensors")


def test_settings_of_other_widths_are_refused_in_a_line(load, tiny_models):
    with pytest.raises(ModelMismatchError, match="does not fit the settings in") as error:
        load("sd2", config=tiny_models / "sd1")
    assert "\n" not in str(error.value)
