import pytest

from src.core.checkpoint_config import load_checkpoint_params, recorded_overrides
from src.core.config import load_stage_params
from src.core.files import write_text

RECORD = """
lr: 1.0
model: {name: sd15, id: "my models/it's", revision: null, variant: fp16, resolution: 256}
subject: {token: sksCat, class_name: cat}
"""


@pytest.fixture
def adapter(tmp_path):
    """A run's adapter folder with two checkpoints."""
    write_text(tmp_path / "adapter/step-000100/config.yaml", RECORD.replace("sksCat", "sksOld"))
    write_text(tmp_path / "adapter/step-000200/config.yaml", RECORD)
    return tmp_path / "adapter"


def test_base_model_and_subject_are_those_of_the_newest_checkpoint(adapter):
    found = load_checkpoint_params("generate", [f"inferencer.ckpt_dir={adapter}"])
    assert found.model == {
        "name": "sd15",
        "id": "my models/it's",
        "revision": None,
        "variant": "fp16",
        "resolution": 256,
    }
    assert found.subject == {"token": "sksCat", "class_name": "cat"}
    preset = load_stage_params("generate", ["model=sd15"])
    assert found.validation_args == preset.validation_args


def test_one_checkpoint_speaks_for_itself(adapter):
    found = load_checkpoint_params("generate", [f"inferencer.ckpt_dir={adapter / 'step-000100'}"])
    assert found.subject.token == "sksOld"


def test_the_command_line_wins(adapter):
    words = [f"inferencer.ckpt_dir={adapter}", "model.resolution=512", "subject.token=sksDog"]
    found = load_checkpoint_params("generate", words)
    assert (found.model.resolution, found.model.variant, found.subject.token) == (512, "fp16", "sksDog")
    assert load_checkpoint_params("generate", [words[0], "model=sdxl"]).model.name == "sdxl"
    assert load_checkpoint_params("generate", [words[0], "subject=dog"]).subject.token == "sksDog"


def test_the_pipelines_own_adapter_is_looked_at_when_none_is_named(adapter, monkeypatch):
    monkeypatch.chdir(adapter.parent)
    assert recorded_overrides(["prompt=x"]) == []
    (adapter.parent / "models").mkdir()
    adapter.rename(adapter.parent / "models/adapter")
    assert "model=sd15" in recorded_overrides(["prompt=x"])


@pytest.mark.parametrize("words", [["exp.config_path=params.yaml"], ["inferencer.ckpt_dir=nowhere"]])
def test_a_whole_configuration_or_no_record_leaves_all_as_it_is(adapter, words):
    assert recorded_overrides([f"inferencer.ckpt_dir={adapter}", *words]) == []
