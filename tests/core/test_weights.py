"""Finding models in folders and in a hub cache, whole and broken off."""

from fnmatch import fnmatch

import pytest

from src.core.errors import MissingModelError, ModelMismatchError
from src.core.files import sha256_bytes
from src.core.weights import find_model, find_weight_file, model_patterns
from tests.core.hub_cache import COMMIT, SD_FILES, make_snapshot

REPO = "owner/name"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def select(variant):
    return [file for file in SD_FILES if any(fnmatch(file, pattern) for pattern in model_patterns(variant))]


def weights(files):
    return sorted(file for file in files if not file.endswith((".json", ".txt")))


def test_model_patterns_take_one_set_of_weights_per_component():
    assert weights(select(None)) == [
        "text_encoder/model.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    ]
    assert weights(select("fp16")) == [
        "text_encoder/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    ]
    assert {"model_index.json", "tokenizer/merges.txt", "scheduler/scheduler_config.json"} <= set(select(None))


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("listed", [SD_FILES, None])
def test_find_model_finds_what_the_patterns_fetch(cache, variant, listed):
    folder = make_snapshot(cache, REPO, select(variant), listed)
    assert find_model(REPO, COMMIT, model_patterns(variant)) == folder
    assert find_model(REPO, COMMIT) == folder


@pytest.mark.parametrize("listed", [SD_FILES, None])
def test_find_model_refuses_another_variant(cache, listed):
    make_snapshot(cache, REPO, select("fp16"), listed)
    with pytest.raises(MissingModelError, match="fetch"):
        find_model(REPO, COMMIT, model_patterns(None))


@pytest.mark.parametrize("listed", [SD_FILES, None])
@pytest.mark.parametrize("patterns", [(), model_patterns(None)])
def test_find_model_refuses_a_broken_off_download(cache, listed, patterns):
    files = [file for file in select(None) if file != "vae/diffusion_pytorch_model.safetensors"]
    folder = make_snapshot(cache, REPO, files, listed)
    (folder / "vae/diffusion_pytorch_model.safetensors").symlink_to("../../../blobs/none")
    with pytest.raises(MissingModelError, match="fetch"):
        find_model(REPO, COMMIT, *([patterns] if patterns else []))


def test_find_model_refuses_missing_shards(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").touch()
    stem = "diffusion_pytorch_model-0000{}-of-00002.safetensors"
    (tmp_path / "unet" / stem.format(1)).touch()
    with pytest.raises(MissingModelError, match="unet: expected complete weights"):
        find_model(str(tmp_path), None)
    (tmp_path / "unet" / stem.format(2)).touch()
    assert find_model(str(tmp_path), None) == tmp_path
    assert find_model(str(tmp_path), None, model_patterns(None)) == tmp_path


def test_find_model_in_a_folder_names_the_weights_that_do_not_fit(tmp_path):
    for file in ("config.json", "pytorch_model.bin"):
        (tmp_path / file).touch()
    with pytest.raises(MissingModelError, match=r"found pytorch_model\.bin"):
        find_model(str(tmp_path), None)
    assert find_model(str(tmp_path), None, ("*.json", "pytorch_model.bin")) == tmp_path


def test_find_model_names_the_command_that_fetches(cache):
    with pytest.raises(MissingModelError, match=r"python -m src\.commands\.fetch"):
        find_model(REPO, COMMIT)
    with pytest.raises(MissingModelError, match="no such folder"):
        find_model("models/none", None)
    with pytest.raises(MissingModelError, match="neither a folder nor a hub id"):
        find_model("models/none/at/all", COMMIT)


def test_find_weight_file_takes_no_other_revision(cache):
    make_snapshot(cache, REPO, ["clip.safetensors"], ["clip.safetensors"])
    with pytest.raises(MissingModelError, match="at revision ffff"):
        find_weight_file(REPO, "f" * 40, "clip.safetensors", None)


def test_find_weight_file_checks_the_content(cache):
    folder = make_snapshot(cache, REPO, ["clip.safetensors"], ["clip.safetensors", "pytorch_model.bin", "config.json"])
    good = sha256_bytes(b"clip.safetensors")
    assert find_weight_file(REPO, COMMIT, "clip.safetensors", good) == folder / "clip.safetensors"
    with pytest.raises(ModelMismatchError, match=f"sha256 is {good}, expected 00"):
        find_weight_file(REPO, COMMIT, "clip.safetensors", "00")
    with pytest.raises(MissingModelError):
        find_weight_file(REPO, COMMIT, "pytorch_model.bin", None)
    with pytest.raises(MissingModelError, match="no such weight file"):
        find_weight_file(str(folder), None, "other.safetensors", None)
