"""The fetch command against a hub and a web server that exist only here."""

import sys
import threading
from fnmatch import fnmatch
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from src.commands import fetch
from src.core.errors import MissingModelError, ModelMismatchError
from src.core.files import sha256_bytes
from tests.core.hub_cache import COMMIT, SD_FILES, make_snapshot
from tests.core.test_single_file import TEXT, UNET, VAE, write

HUB = {
    "sd/model": SD_FILES,
    "blip/base": ("config.json", "vocab.txt", "pytorch_model.bin", "tf_model.h5"),
    "owl/vit": ("config.json", "model.safetensors", "pytorch_model.bin"),
    "timm/clip": ("config.json", "open_clip_model.safetensors", "pytorch_model.bin"),
}


class FakeHub:
    """Stands in for snapshot_download; looking into the cache is left to the real one."""

    def __init__(self, cache):
        self.cache, self.downloads, self.real = cache, [], huggingface_hub.snapshot_download

    def __call__(self, repo, *, revision, allow_patterns, local_files_only=False):
        if local_files_only:
            return self.real(repo, revision=revision, allow_patterns=allow_patterns, local_files_only=True)
        if repo not in HUB:
            raise LocalEntryNotFoundError("no connection")
        self.downloads.append(repo)
        files = [file for file in HUB[repo] if any(fnmatch(file, pattern) for pattern in allow_patterns)]
        return str(make_snapshot(self.cache, repo, files, HUB[repo]))


@pytest.fixture(autouse=True)
def online(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    fake = FakeHub(tmp_path / "hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.snapshot_download", fake)
    return fake


@pytest.fixture
def web(tmp_path):
    """A web server that has alexnet.pth."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "alexnet.pth").write_bytes(b"alexnet")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "web")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def metric_model(**values):
    return {"id": "timm/clip", "revision": COMMIT, "file": "open_clip_model.safetensors", "sha256": None, **values}


def config(**parts):
    tiny = {"id": "models/none", "revision": None}
    return SimpleNamespace(
        **{
            "model": {"id": "sd/model", "revision": COMMIT, "variant": None},
            "captioner": {"id": "blip/base", "revision": COMMIT, "weights": "pytorch_model.bin"},
            "cropper": {"_target_": "src.data.croppers.Centre"},
            "metric_models": {"clip": metric_model()},
            "metrics": {"clip_t": {"model": metric_model()}},
            "faces": {"detector": {"id": "owl/vit", "revision": COMMIT}},
            "data_report": SimpleNamespace(look_for_faces=False),
            **{name: {**tiny, **value} for name, value in parts.items()},
        }
    )


def fetched(cache, repo):
    folder = cache / f"models--{repo.replace('/', '--')}" / "snapshots" / COMMIT
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_fetch_brings_what_finds_faces_where_they_are_looked_for(hub):
    settings = config()
    settings.data_report.look_for_faces = True
    fetch.fetch_all(settings)
    assert hub.downloads == ["sd/model", "blip/base", "timm/clip", "owl/vit"]


def test_fetch_downloads_what_the_configuration_names_and_no_more(hub, capsys):
    fetch.fetch_all(config(cropper={"id": "owl/vit", "revision": COMMIT}))
    assert hub.downloads == ["sd/model", "blip/base", "owl/vit", "timm/clip"]
    model = fetched(hub.cache, "sd/model")
    assert {"model_index.json", "unet/diffusion_pytorch_model.safetensors", "tokenizer/merges.txt"} <= model
    assert not [file for file in model if file.endswith((".bin", ".ckpt", ".onnx", ".fp16.safetensors"))]
    assert not {"v1-5-pruned.safetensors", "safety_checker/model.safetensors"} & model
    assert fetched(hub.cache, "blip/base") == {"config.json", "vocab.txt", "pytorch_model.bin"}
    assert fetched(hub.cache, "owl/vit") == {"config.json", "model.safetensors"}
    assert fetched(hub.cache, "timm/clip") == {"open_clip_model.safetensors"}
    assert (
        f"metric_models.clip: sha256 is not pinned; this file has {sha256_bytes(b'open_clip_model.safetensors')}"
        in (capsys.readouterr().out)
    )


def test_fetch_of_a_variant_takes_only_its_files(hub):
    settings = config()
    settings.model["variant"] = "fp16"
    fetch.fetch_all(settings)
    weights = {file for file in fetched(hub.cache, "sd/model") if file.endswith(".safetensors")}
    assert weights == {
        "text_encoder/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    }


def test_fetch_again_downloads_nothing_even_offline(hub, monkeypatch, capsys):
    fetch.fetch_all(config())
    hub.downloads.clear()
    capsys.readouterr()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    fetch.fetch_all(config())
    assert hub.downloads == []
    assert capsys.readouterr().out.count("here already") == 3


def test_fetch_offline_says_so(hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingModelError, match=r"'sd/model' is missing and HF_HUB_OFFLINE"):
        fetch.fetch_all(config())


def test_fetch_without_a_connection_names_the_model(hub):
    with pytest.raises(MissingModelError, match=f"'no/where' at {COMMIT} could not be fetched: no connection"):
        fetch.fetch_all(config(model={"id": "no/where", "revision": COMMIT}))


def test_fetch_checks_the_hash_of_a_metric_model(hub):
    good = sha256_bytes(b"open_clip_model.safetensors")
    fetch.fetch_model(metric_model(sha256=good))
    with pytest.raises(ModelMismatchError, match=f"sha256 is {good}"):
        fetch.fetch_model(metric_model(sha256="0" * 64))


def test_fetch_downloads_a_metric_model_from_its_url(tmp_path, web):
    good = sha256_bytes(b"alexnet")
    spec = {"id": str(tmp_path / "metric_models"), "revision": None, "file": "alexnet.pth", "url": f"{web}/alexnet.pth"}
    with pytest.raises(ModelMismatchError, match=f"sha256 is {good}, expected 00"):
        fetch.fetch_model({**spec, "sha256": "00"})
    assert list((tmp_path / "metric_models").iterdir()) == []
    path = tmp_path / "metric_models" / "alexnet.pth"
    assert fetch.fetch_model({**spec, "sha256": good}) == (path, False)
    assert path.read_bytes() == b"alexnet"
    assert fetch.fetch_model({**spec, "sha256": good}) == (path, True)
    with pytest.raises(MissingModelError, match="404"):
        fetch.fetch_model({**spec, "file": "none.pth", "url": f"{web}/none.pth", "sha256": None})


def test_fetch_of_a_missing_folder_says_what_a_hub_id_would_need(tmp_path):
    with pytest.raises(MissingModelError, match="no such folder; a hub id needs a pinned revision"):
        fetch.fetch_model({"id": str(tmp_path / "none"), "revision": None})


def test_fetch_command_exits_with_one_message(hub, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fetch", "model=sdxl", "model.id=models/none", "model.revision=null"])
    with pytest.raises(SystemExit, match="1"):
        fetch.main()
    assert capsys.readouterr().err.startswith("fetch: model 'models/none': no such folder")


def test_of_a_single_file_only_what_it_lacks_is_fetched(hub, tmp_path, monkeypatch):
    path = write(tmp_path / "a.safetensors", UNET, VAE, TEXT)
    spec = {"id": str(path), "revision": COMMIT, "variant": None, "config": "sd/model"}
    folder, was_here = fetch.fetch_model(spec)
    assert (hub.downloads, was_here) == (["sd/model"], False)
    assert (folder / "tokenizer/vocab.json").is_file()
    assert not [*folder.rglob("*.safetensors"), *folder.rglob("*.bin")]
    assert fetch.fetch_model(spec) == (folder, True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingModelError, match="'blip/base' is missing and HF_HUB_OFFLINE forbids"):
        fetch.fetch_model(spec | {"config": "blip/base"})
    with pytest.raises(MissingModelError, match="no such file"):
        fetch.fetch_model(spec | {"id": str(tmp_path / "b.safetensors")})
