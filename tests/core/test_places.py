"""What is handed on names no place of this machine."""

from types import SimpleNamespace

import pytest

from src.core.checkpoint_config import recorded_overrides
from src.core.config import load_stage_params
from src.core.errors import ConfigError
from src.core.files import sha256_tree
from src.core.places import place_name, places, without_places
from src.core.records import read_record
from src.features.weights import WeightFile
from src.stages.train import publish
from src.training.state import CHECKPOINTS


@pytest.fixture
def published(tmp_path, monkeypatch):
    """An adapter that was trained on a folder of one's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home/ira/mine").mkdir(parents=True)
    (tmp_path / "home/ira/mine/weights").write_text("w")
    (tmp_path / "state" / CHECKPOINTS / "step-000001").mkdir(parents=True)
    params = load_stage_params("train", [f"model.id={tmp_path}/home/ira/mine", f"exp.run_dir={tmp_path}/run"])
    saved = SimpleNamespace(losses=[{"step": 1}], validations=[{"step": 1}])
    publish(params, SimpleNamespace(path=tmp_path / "state"), saved)
    return tmp_path


def test_an_adapter_tells_name_and_content_of_its_base_but_not_where_it_lay(published):
    record = published / "run/models/adapter/step-000001/config.yaml"
    assert str(published) not in record.read_text()
    model = read_record(record)["model"]
    assert (model["id"], model["sha256"]) == ("mine", sha256_tree(published / "home/ira/mine"))


def test_generating_asks_where_that_base_is_and_looks_at_its_content(published, capsys):
    words = [f"inferencer.ckpt_dir={published}/run/models/adapter"]
    with pytest.raises(ConfigError, match=r"trained on 'mine'; say where it is: model\.id=PATH/mine"):
        recorded_overrides(words)
    given = f"model.id={published}/home/ira/mine"
    assert f"model.id='{published}/home/ira/mine'" in recorded_overrides([*words, given])
    assert not capsys.readouterr().err
    (published / "home/ira/mine/weights").write_text("other")
    recorded_overrides([*words, given])
    assert "not the content that" in capsys.readouterr().err


def test_a_single_file_and_its_settings_are_told_by_name_and_content(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.safetensors").write_text("w")
    words = [
        f"model.id={tmp_path}/mine.safetensors",
        f"model.config={tmp_path}/settings",
        f"exp.run_dir={tmp_path}/run",
    ]
    (tmp_path / "state" / CHECKPOINTS / "step-000001").mkdir(parents=True)
    saved = SimpleNamespace(losses=[{"step": 1}], validations=[{"step": 1}])
    publish(load_stage_params("train", words), SimpleNamespace(path=tmp_path / "state"), saved)
    record = tmp_path / "run/models/adapter/step-000001/config.yaml"
    assert str(tmp_path) not in record.read_text()
    assert read_record(record)["model"]["sha256"] == sha256_tree(tmp_path / "mine.safetensors")
    (tmp_path / "mine.safetensors").write_text("other")
    recorded_overrides([f"inferencer.ckpt_dir={tmp_path}/run/models/adapter", words[0]])
    assert "not the content that" in capsys.readouterr().err


def test_only_absolute_paths_of_path_keys_are_places():
    params = {
        "model": {"id": "models/sd", "name": "x"},
        "prompt": "/imagine a toy",
        "metric_models": {"clip": {"id": "/srv/clip", "architecture": "local-dir:/srv/clip"}},
        "captioner": {"id": "~/blip"},
    }
    assert places(params) == {
        "metric_models.clip.id": "/srv/clip",
        "metric_models.clip.architecture": "local-dir:/srv/clip",
    }
    named = without_places(params)
    assert named["metric_models"]["clip"] == {"id": "clip", "architecture": "local-dir:clip"}
    assert (named["model"], named["prompt"], named["captioner"]["id"]) == (params["model"], params["prompt"], "blip")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/srv/models/sd15", "sd15"),
        ("~/sd15", "sd15"),
        ("C:\\models\\sd15", "sd15"),
        ("local-dir:/srv/clip", "local-dir:clip"),
        ("stabilityai/sdxl", "stabilityai/sdxl"),
        ("local-dir:models/clip", "local-dir:models/clip"),
        ("", ""),
    ],
)
def test_a_place_of_any_system_is_told_by_its_last_name_and_nothing_else_is(path, name):
    assert place_name(path) == name
    marked = name if name == path else name.replace("clip", "…/clip").replace("sd15", "…/sd15")
    assert place_name(path, mark="…/") == marked


def test_the_record_of_a_metric_model_names_no_place(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"w")
    described = WeightFile(str(tmp_path), None, "model.safetensors", None, None).describe()
    assert described["id"] == tmp_path.name
