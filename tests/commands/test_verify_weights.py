"""Metric models against golden numbers; on the tiny metric models, through their real loaders."""

import json
import sys

import pytest

from src.commands import verify_weights
from src.commands.verify_weights import pictures, verify
from src.core.errors import MissingModelError, ModelMismatchError
from tests.tiny.metric_models import build_metric_models

OVERRIDES = ["model=tiny", "inference_metrics=[dino,clip_t,div_lpips]"]


@pytest.fixture(scope="module")
def metric_models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    build_metric_models(folder / "models/tiny/metric_models", seed=0)
    return folder


def test_weights_are_unverified_until_their_numbers_are_recorded(metric_models, monkeypatch):
    monkeypatch.chdir(metric_models)
    lines, fresh = verify(OVERRIDES, {})
    assert [line.split(":")[1].split()[0] for line in lines] == ["UNVERIFIED", "UNVERIFIED", "here;"]
    assert len(fresh) == 2
    assert all(abs(value) < 1 for cosines in fresh.values() for value in cosines)
    lines, again = verify(OVERRIDES, fresh)
    assert lines[:2] == ["dino: verified", "clip_t: verified"]
    assert again == {}
    wrong = {key: [value + 0.01 for value in cosines] for key, cosines in fresh.items()}
    with pytest.raises(ModelMismatchError, match="dino: measured"):
        verify(OVERRIDES, wrong)


def test_missing_weights_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingModelError, match="models/tiny/metric_models/dino"):
        verify(OVERRIDES, {})


def test_the_command_records_on_demand(metric_models, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(metric_models)
    golden = tmp_path / "golden.json"
    golden.write_text("{}")
    monkeypatch.setattr(verify_weights, "GOLDEN", golden)
    for arguments, known in (([], 0), (["--write"], 2)):
        monkeypatch.setattr(sys, "argv", ["verify_weights", *OVERRIDES, *arguments])
        verify_weights.main()
        assert len(json.loads(golden.read_text())) == known
    assert "UNVERIFIED" in capsys.readouterr().out


def test_pictures_never_change():
    assert {name: sum(picture.tobytes()) for name, picture in pictures().items()} == {
        "gradient": 25051136,
        "checker": 25067520,
        "disc": 20397233,
    }
