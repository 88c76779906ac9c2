import subprocess
import sys
import time
from pathlib import Path

import pytest

from src.core.checkpoint_config import load_checkpoint_params, recorded_overrides
from src.core.config import load_stage_params
from src.core.config_errors import load_yaml
from src.core.errors import ConfigError
from src.core.files import write_text
from src.core.settings import ModelSettings, SubjectSettings

CASES = Path(__file__).resolve().parents[3] / "shared/cases/make_cases.py"
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
    attention = ["to_q", "to_k", "to_v", "to_out.0"]
    preset = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert found.model == ModelSettings("sd15", "my models/it's", None, "fp16", preset, 256, attention)
    assert found.subject == SubjectSettings("sksCat", "cat")
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


def sent(tmp_path, text):
    write_text(tmp_path / "sent/config.yaml", text)
    return [f"inferencer.ckpt_dir={tmp_path}/sent"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "name: sd15",
            "name: ../../outputs/evil",
            r"model\.name='\.\./\.\./outputs/evil': expected one of flux_dev, sd15",
        ),
        ("name: sd15", "name: [sd15]", r"model\.name=.*: expected one of"),
        ("class_name: cat", "class_name: '${oc.env:HOME}'", r"subject\.class_name=.*expected text without"),
        ("class_name: cat", f"class_name: {'x' * 65}", r"expected a line of text of at most 64 characters"),
        ("class_name: cat", 'class_name: "a\\nb"', r"expected a line of text"),
        ("class_name: cat", "class_name: 5", r"subject\.class_name='5': expected a line of text"),
        ("class_name: cat", "class_name: {_target_: os.system}", r"subject\.class_name=.*expected a line of text"),
        ("class_name: cat", "class_name: !!python/object/apply:os.system [ls]", "not a YAML file"),
        (", class_name: cat", "", r"subject\.class_name is missing"),
        ("resolution: 256", "resolution: true", r"model\.resolution='True': expected a whole number from 8 to 4096"),
        ("resolution: 256", "resolution: 1000000", r"from 8 to 4096"),
        ("resolution: 256", f"resolution: {'9' * 5000}", "not a YAML file"),
        ("variant: fp16", "variant: {a: b}", r"model\.variant=.*expected a line of text"),
    ],
)
def test_a_record_that_train_would_not_write_is_refused(tmp_path, monkeypatch, old, new, message):
    monkeypatch.setenv("HOME", "/secret")
    assert old in RECORD
    with pytest.raises(ConfigError, match=message) as refused:
        recorded_overrides(sent(tmp_path, RECORD.replace(old, new)))
    assert "/secret" not in str(refused.value)


BOMB = "a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: [*b,*b,*b]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, r"line 2: \*a: aliases are not read"),
        ("a: " + "[" * 60000, "nested over 24 levels"),
        ("a: " + "x" * 70000, "over 64 KiB"),
        ("- a\n", "expected a mapping"),
        ("model: sd15\n", "model: expected a mapping"),
    ],
    ids=["aliases", "deep", "large", "list", "word"],
)
def test_a_record_that_would_cost_time_or_memory_is_refused_at_once(tmp_path, text, message):
    began = time.monotonic()
    with pytest.raises(ConfigError, match=message):
        recorded_overrides(sent(tmp_path, text))
    if "mapping" not in message:
        with pytest.raises(ConfigError, match=message):
            load_yaml(tmp_path / "sent/config.yaml")
    assert time.monotonic() - began < 2


@pytest.mark.skipif(not CASES.is_file(), reason="needs the cases beside the project")
@pytest.mark.parametrize(
    ("case", "message"), [("traversal", r"model\.name='\.\./\.\./outputs/theirs/evil'"), ("aliases", "aliases are not")]
)
def test_the_cases_of_adapters_are_refused(tmp_path, case, message):
    subprocess.run([sys.executable, str(CASES), str(tmp_path)], check=True)
    with pytest.raises(ConfigError, match=message):
        recorded_overrides(sent(tmp_path, (tmp_path / f"adapter_config_{case}.yaml").read_text()))
