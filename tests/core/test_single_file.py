"""What a single-file checkpoint holds is read from its header, and what is none is refused in a line."""

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from src.core.errors import MissingModelError, ModelMismatchError, NotAFileError
from src.core.provenance import model_digest
from src.core.single_file import is_single_file, read_contents
from src.core.weights import find_model, settings_patterns
from tests.core.hub_cache import COMMIT, SD_FILES, make_snapshot

UNET, TEXT = "model.diffusion_model.input_blocks.0.0.weight", "cond_stage_model.transformer.x"
VAE = "first_stage_model.encoder.x"
BIG = ("conditioner.embedders.0.x", "conditioner.embedders.1.x")


def write(path, *names):
    save_file({name: torch.ones(2) for name in names}, path)
    return path


@pytest.mark.parametrize(
    ("names", "pipeline", "parts"),
    [
        ((UNET, VAE, TEXT), "StableDiffusionPipeline", ("unet", "vae", "text_encoder")),
        ((UNET, VAE, *BIG), "StableDiffusionXLPipeline", ("unet", "vae", "text_encoder", "text_encoder_2")),
        (("joint_blocks.0.x", VAE), "StableDiffusion3Pipeline", ("transformer", "vae")),
        (
            ("model.diffusion_model.joint_blocks.0.x", "text_encoders.clip_l.x"),
            "StableDiffusion3Pipeline",
            ("transformer", "text_encoder"),
        ),
        (("model.diffusion_model.double_blocks.0.x",), "FluxPipeline", ("transformer",)),
    ],
)
def test_the_names_tell_the_kind(tmp_path, names, pipeline, parts):
    contents = read_contents(write(tmp_path / "a.safetensors", *names))
    assert (contents.pipeline, contents.parts, contents.velocity) == (pipeline, parts, False)
    assert read_contents(write(tmp_path / "b.safetensors", *names, "v_pred")).velocity


@pytest.mark.parametrize("names", [(UNET, VAE), (UNET, VAE, BIG[0]), ("conv_in.weight",)])
def test_what_is_no_checkpoint_is_refused_with_a_name_in_it(tmp_path, names):
    with pytest.raises(ModelMismatchError, match=f"no checkpoint of .* first tensor is {min(names)}"):
        read_contents(write(tmp_path / "a.safetensors", *names))


@pytest.mark.parametrize(
    "name", ["lora_unet_down_blocks_0.lora_up.weight", "unet.a.lora_A.weight", "a.to_q_lora.up.weight", "a.lokr_w1"]
)
def test_an_adapter_is_called_one(tmp_path, name):
    with pytest.raises(ModelMismatchError, match=f"an adapter, as {name}, and no whole model; it goes into inferencer"):
        read_contents(write(tmp_path / "a.safetensors", name))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[:-1], "damaged: .* bytes, its header tells of"),
        (lambda data: data + b"x", "damaged"),
        (lambda data: data[:20], "not a safetensors file, or cut off in its header"),
        (lambda _: b"", "not a safetensors file, or cut off"),
        (lambda _: b"version https://git-lfs.github.com/spec/v1\n", "not a safetensors file"),
        (lambda data: data[:8] + b"[" * 30 + data[38:], "its header cannot be read"),
        (lambda data: data.replace(b"data_offsets", b"data_offsetz"), "its header cannot be read"),
    ],
)
def test_damaged_files_are_refused(tmp_path, spoil, message):
    path = write(tmp_path / "a.safetensors", UNET, VAE, TEXT)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ModelMismatchError, match=message):
        read_contents(path)


def test_pickles_are_refused_and_never_read(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    for suffix in (".ckpt", ".pt", ".pth", ".bin"):
        path = tmp_path / f"model{suffix}"
        path.write_bytes(pickle.dumps(Trap()))
        assert is_single_file(str(path))
        with pytest.raises(ModelMismatchError, match=r"a pickle, .* expected a \.safetensors file"):
            find_model(str(path), COMMIT, config="owner/name")
    assert not (tmp_path / "ran").exists()


def test_missing_files_and_pipes_are_refused(tmp_path):
    with pytest.raises(MissingModelError, match=r"none\.safetensors: no such file"):
        find_model(str(tmp_path / "none.safetensors"), None, config="owner/name")
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(NotAFileError):
        find_model(str(tmp_path / "pipe.safetensors"), None, config="owner/name")
    assert not is_single_file("owner/name.bin")


def test_settings_come_from_a_folder_or_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    path = write(tmp_path / "a.safetensors", UNET, VAE, TEXT)
    with pytest.raises(MissingModelError, match=r"neither settings nor tokenizers; set model\.config"):
        find_model(str(path), None)
    with pytest.raises(MissingModelError, match=r"src\.commands\.fetch"):
        find_model(str(path), COMMIT, config="owner/name")
    texts = [name for name in SD_FILES if name.endswith((".json", ".txt"))]
    assert not any(pattern.startswith(("unet/", "vae/", "text_encoder/")) for pattern in settings_patterns(path))
    snapshot = make_snapshot(tmp_path / "hub", "owner/name", texts, SD_FILES)
    assert find_model(str(path), COMMIT, config="owner/name") == snapshot
    assert find_model(str(path), None, config=str(snapshot)) == snapshot


def test_what_the_file_lacks_has_to_be_there(tmp_path):
    path, folder = write(tmp_path / "a.safetensors", "double_blocks.0.x"), tmp_path / "settings"
    for part in ("transformer", "vae"):
        (folder / part).mkdir(parents=True)
        (folder / part / "config.json").touch()
    with pytest.raises(MissingModelError, match="vae: expected complete weights"):
        find_model(str(path), None, config=str(folder))
    (folder / "vae/diffusion_pytorch_model.safetensors").touch()
    assert find_model(str(path), None, config=str(folder)) == folder


def test_a_digest_names_the_weights_and_the_settings(tmp_path):
    path, folder = write(tmp_path / "a.safetensors", UNET, VAE, TEXT), tmp_path / "settings"
    folder.mkdir()
    found = [model_digest(str(path), None, None, str(folder))]
    (folder / "model_index.json").write_text("{}")
    found.append(model_digest(str(path), None, None, str(folder)))
    write(path, UNET, VAE, TEXT, "more")
    found.append(model_digest(str(path), None, None, str(folder)))
    found.append(model_digest(str(path), COMMIT, None, "owner/name"))
    assert len(set(found)) == 4
