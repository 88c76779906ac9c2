"""What other tools decide by, by their own rules."""

import json

import pytest
import yaml

from src.commands.export_lora import export
from src.exporting.card import measured_figures
from src.exporting.header import base_kind
from src.models.tensors import load_tensors
from tests.exporting.test_layouts import saved

# ss_base_model_version of kohya's scripts (library/model_util.py, library/sdxl_model_util.py, library/flux_utils.py)
VERSIONS = {"sd1": "sd_v1", "sd2": "sd_v2_v", "sdxl": "sdxl_base_v1-0", "sd3": "sd3", "flux": "flux1"}


def a1111_version(metadata):
    """AUTOMATIC1111's extensions-builtin/Lora/network.py, `detect_version`."""
    if str(metadata.get("ss_base_model_version", "")).startswith("sdxl_"):
        return "SDXL"
    if str(metadata.get("ss_v2", "")) == "True":
        return "SD2"
    return "SD1" if metadata else "Unknown"


@pytest.fixture
def widths(tiny_models, tmp_path):
    """A copy of tiny Stable Diffusion 2's settings with the true width of its text features."""
    folder = tmp_path / "sd2"
    for name in ("model_index.json", "unet/config.json", "scheduler/scheduler_config.json"):
        content = json.loads((tiny_models / "sd2" / name).read_text())
        if name.startswith("unet"):
            content["cross_attention_dim"] = 1024
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return folder


def test_each_base_is_called_as_kohyas_scripts_call_it(tiny_models, widths):
    folders = {kind: tiny_models / kind for kind in VERSIONS} | {"sd2": widths}
    assert {kind: base_kind(folder).version for kind, folder in folders.items()} == VERSIONS
    scheduler = widths / "scheduler/scheduler_config.json"
    scheduler.write_text(scheduler.read_text().replace("v_prediction", "epsilon"))
    assert base_kind(widths).version == "sd_v2"


def test_flux_without_guidance_is_schnell(tiny_models, tmp_path):
    for name in ("model_index.json", "transformer/config.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((tiny_models / "flux" / name).read_bytes())
    assert base_kind(tmp_path).architecture == "flux-1-dev"
    config = tmp_path / "transformer/config.json"
    config.write_text(config.read_text().replace('"guidance_embeds": true', '"guidance_embeds": false'))
    assert base_kind(tmp_path).architecture == "flux-1-schnell"


@pytest.mark.parametrize(("kind", "listed"), [("sd1", "SD1"), ("sdxl", "SDXL")])
def test_webui_lists_the_file_with_its_base_and_its_words(load_tiny, tiny_models, tmp_path, kind, listed):
    folder = saved(load_tiny, tmp_path / "step-000002", "lora", kind)
    words = [f"model.id={tiny_models / kind}", "model.resolution=64", "subject.token=sksToy", "subject.class_name=toy"]
    export(folder, tmp_path / "my toy.safetensors", None, words)
    header = load_tensors(tmp_path / "my toy.safetensors")[1]
    assert a1111_version(header) == listed
    assert header["ss_output_name"] == header["modelspec.title"] == "my toy"
    assert json.loads(header["ss_tag_frequency"]) == {"sksToy toy": {"sksToy": 1}}
    assert header["modelspec.trigger_phrase"] == "sksToy toy"
    assert header["modelspec.resolution"] == "64x64"
    assert header["modelspec.architecture"].endswith("/lora")
    assert (header["ss_network_dim"], header["ss_network_alpha"]) == ("4", "4")
    assert "modelspec.date" not in header
    beside = json.loads((tmp_path / "my toy.json").read_text())
    assert beside == {"activation text": "sksToy toy", "preferred weight": 1.0, "sd version": listed}


def test_the_card_is_one_that_the_hub_reads(load_tiny, tiny_models, tmp_path):
    folder = saved(load_tiny, tmp_path / "step-000002", "lora", "sd1")
    export(folder, tmp_path / "toy.safetensors", None, [f"model.id={tiny_models / 'sd1'}", "subject.token=sks:x"])
    _, front, text = (tmp_path / "toy.md").read_text().split("---\n", 2)
    card = yaml.safe_load(front)
    assert card["instance_prompt"] == "sks:x bear"
    assert "license" not in card
    assert "It has not been measured." in text
    assert str(tmp_path) not in text
    assert not (tmp_path / "toy.png").exists()


def test_the_same_adapter_gives_the_same_bytes(load_tiny, tiny_models, tmp_path):
    folder = saved(load_tiny, tmp_path / "step-000002", "lora", "sd1")
    for name in ("a", "b"):
        export(folder, tmp_path / name / "toy.safetensors", None, [f"model.id={tiny_models / 'sd1'}"])
    assert (tmp_path / "a/toy.safetensors").read_bytes() == (tmp_path / "b/toy.safetensors").read_bytes()


def test_figures_are_those_of_the_chosen_checkpoint_alone(tmp_path):
    quantity = {"name": "dino", "model": "vits16", "title": "DINO", "higher_is_better": True}
    (tmp_path / "metrics").mkdir()
    meta = {"selected": "step-000300", "quantities": [quantity]}
    (tmp_path / "metrics/metrics_meta.json").write_text(json.dumps(meta))
    against = {"dino": {"mean": 0.5, "low": 0.4, "high": 0.6}}
    counts = {"test_prompts": 3, "train_photos": 5}
    details = {"run": {"dino": 0.7}, "base": {"dino": 0.2}, "against_base": against, "counts": counts}
    (tmp_path / "metrics/details.json").write_text(json.dumps(details))
    figures = measured_figures(tmp_path, "step-000300")
    row = {"name": "dino_vits16", "arrow": "↑", "value": "0.700", "base": "0.200"}
    assert figures == {"prompts": 3, "photos": 5, "rows": [row | {"difference": "+0.500 [+0.400, +0.600]"}]}
    assert measured_figures(tmp_path, "step-000200") == {}
