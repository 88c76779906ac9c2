"""A file is compared with a checkout in which one thing has changed."""

import json
import shutil

import pytest
import yaml
from PIL import Image

from src.commands import verify as command
from src.commands.export_lora import export
from src.core.errors import ConfigError, ModelMismatchError
from src.exporting.provenance import md5_of_folder
from src.models.tensors import load_tensors, save_tensors
from tests.exporting.test_layouts import saved

SAME = {"split": {"val_fraction": 0.2}, "prompts": {"test": ["a", "b"]}, "lr": 1e-5}
READS = {
    "convert": (["data/raw"], []),
    "caption": (["data/raw", "data/images"], []),
    "split": (["data/images"], ["split"]),
    "train": (["data/images", "base"], ["lr"]),
    "generate": (["models/adapter", "base"], ["prompts"]),
}
MAKES = {"convert": "data/images", "train": "models/adapter"}


def write_lock(root, params=SAME):
    """Writes what DVC would after a run."""
    stages = {}
    for stage, (deps, keys) in READS.items():
        code = {"path": f"data/code/{stage}.txt", "md5": f"{stage}-code"}
        stages[stage] = {
            "deps": [{"path": name, "md5": md5_of_folder(root / name)} for name in deps] + [code],
            "params": {"params.yaml": {key: params[key] for key in keys}},
            "outs": [{"path": MAKES[stage], "md5": md5_of_folder(root / MAKES[stage])}] if stage in MAKES else [],
        }
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


@pytest.fixture
def project(load_tiny, tiny_models, tmp_path, monkeypatch):
    """A project whose run is over; returns its root and the exported file."""
    root = tmp_path / "project"
    for name in ("data/raw", "data/images", "metrics"):
        (root / name).mkdir(parents=True)
    for number in range(2):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(root / f"data/raw/{number}.png")
    (root / "data/raw/captions.txt").write_text("0.png|a toy\n")
    (root / "data/images/x.png").write_bytes(b"x")
    shutil.copytree(tiny_models / "sd1", root / "base")
    checkpoint = saved(load_tiny, root / "models/adapter/step-000002", "lora", "sd1")
    record = {"model": {"name": "tiny", "id": str(root / "base"), "revision": None, "variant": None, "resolution": 64}}
    words = yaml.safe_dump(record | {"subject": {"token": "sksToy", "class_name": "toy"}})
    (checkpoint / "config.yaml").write_text(words)
    (root / "params.yaml").write_text(yaml.safe_dump(SAME))
    write_lock(root)
    monkeypatch.setattr(command, "_code_here", lambda: {stage: f"{stage}-code" for stage in READS})
    export(root / "models/adapter", root / "toy.safetensors", root=root)
    return root, root / "toy.safetensors"


def flip(path):
    """Changes the last byte."""
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def set_param(root, **changes):
    (root / "params.yaml").write_text(yaml.safe_dump(SAME | changes))


def change_header(root):
    tensors, header = load_tensors(root / "toy.safetensors")
    save_tensors(root / "toy.safetensors", tensors, header | {"modelspec.trigger_phrase": "another"})


def another_result(root):
    flip(root / "models/adapter/step-000002/pytorch_lora_weights.safetensors")
    write_lock(root)


def photo_gone(root):
    (root / "data/raw/1.png").unlink()


def code_changed(root, monkeypatch):
    own = {stage: f"{stage}-code" for stage in READS} | {"train": "other", "generate": "other"}
    monkeypatch.setattr(command, "_code_here", lambda: own)


PLANTED = {
    "a photo": (lambda root: flip(root / "data/raw/0.png"), "convert: data/raw differs"),
    "a photo less": (photo_gone, "convert: data/raw differs"),
    "a caption": (
        lambda root: (root / "data/raw/captions.txt").write_text("0.png|a bear\n"),
        "caption: the captions in data/raw differs",
    ),
    "the split": (lambda root: set_param(root, split={"val_fraction": 0.3}), "split: split.val_fraction differs"),
    "the rate": (lambda root: set_param(root, lr=2e-5), "train: lr differs"),
    "a prompt": (lambda root: set_param(root, prompts={"test": ["a", "c"]}), "generate: prompts.test differs"),
    "the base": (lambda root: flip(root / "base/unet/diffusion_pytorch_model.safetensors"), "train: base differs"),
    "its own weights": (lambda root: flip(root / "toy.safetensors"), "its weights are not those that were exported"),
    "its header": (change_header, "its header differs from what export_lora of this checkout writes"),
    "another result": (another_result, "train: the same inputs gave another models/adapter"),
    "the adapter here": (
        lambda root: flip(root / "models/adapter/step-000002/pytorch_lora_weights.safetensors"),
        "train: models/adapter is not what dvc.lock says",
    ),
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_was_changed_is_named(project, what):
    root, path = project
    plant, expected = PLANTED[what]
    plant(root)
    assert command.verify(path, root).startswith(expected)


def test_code_is_named_with_the_first_stage_that_runs_it(project, monkeypatch):
    code_changed(project[0], monkeypatch)
    assert command.verify(project[1], project[0]) == "train: its code, or the version of a library, differs"


def test_the_same_checkout_makes_the_same_bytes(project):
    root, path = project
    before = path.stat().st_mtime_ns
    assert command.verify(path, root) is None
    assert path.stat().st_mtime_ns == before
    shutil.rmtree(root / "models/adapter")
    assert command.verify(path, root).startswith("all inputs are the same; its bytes were not compared")


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": [{"name": "dino", "value": "0.999"}]},
        {"method": "another"},
        {"packages": {}},
        {"weights": "0" * 64},
    ],
)
def test_what_the_file_claims_is_not_believed(project, change):
    root, path = project
    tensors, header = load_tensors(path)
    said = json.loads(header["provenance"]) | change
    save_tensors(path, tensors, header | {"provenance": json.dumps(said, sort_keys=True, separators=(",", ":"))})
    assert "differ" in command.verify(path, root)


@pytest.mark.parametrize("spoilt", [{"base": "x"}, {"stages": {"train": []}}, {"stages": {"train": {"made": []}}}])
def test_a_statement_of_another_form_is_refused(project, spoilt):
    root, path = project
    tensors, header = load_tensors(path)
    said = json.loads(header["provenance"]) | spoilt
    save_tensors(path, tensors, header | {"provenance": json.dumps(said)})
    with pytest.raises(ModelMismatchError, match="does not say what it was made of"):
        command.verify(path, root)


def test_a_stage_that_runs_something_else_is_named(project):
    root, path = project
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"split": {"cmd": "python other.py"}}}))
    assert command.verify(path, root) == "split: cmd differs"


def test_no_file_is_replaced_unless_asked_for(project):
    root, path = project
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"toy\.safetensors: is there already"):
        export(root / "models/adapter", path, root=root)
    (root / "README.md").write_text("mine")
    with pytest.raises(ConfigError, match=r"README\.md: is there already"):
        export(root / "models/adapter", root / "README.safetensors", root=root)
    checkpoint = root / "models/adapter/step-000002"
    with pytest.raises(ConfigError, match="is the adapter itself"):
        export(checkpoint, checkpoint / "pytorch_lora_weights.safetensors", root=root, replace=True)
    export(root / "models/adapter", path, root=root, replace=True)
    assert path.read_bytes() == before
    assert (root / "README.md").read_text() == "mine"


def test_other_names_and_another_order_of_photos_are_no_change(project):
    root, path = project
    said = json.loads(load_tensors(path)[1]["provenance"])
    (root / "data/raw/1.png").rename(root / "data/raw/2.png")
    export(root / "models/adapter", root / "b.safetensors", root=root)
    again = json.loads(load_tensors(root / "b.safetensors")[1]["provenance"])
    assert (again["photos"], again["captions"]) == (said["photos"], said["captions"])


def test_the_file_tells_no_name_of_a_photo_and_no_path(project):
    root, path = project
    text = json.dumps(load_tensors(path)[1])
    assert "0.png" not in text
    assert "captions.txt" not in text
    assert str(root) not in text


def test_a_checkpoint_that_no_run_here_made_says_so(project):
    root, _ = project
    shutil.copytree(root / "models/adapter/step-000002", root / "elsewhere/step-000002")
    export(root / "elsewhere", root / "other.safetensors", root=root)
    assert command.verify(root / "other.safetensors", root).startswith("it is not from a run of the pipeline")


def test_folders_are_hashed_as_dvc_does(published):
    pointer = yaml.safe_load((published / "models/tabletop.dvc").read_text())
    assert md5_of_folder(published / "models/tabletop") == pointer["outs"][0]["md5"]
