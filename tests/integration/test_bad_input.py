"""Bad input: exit status 1, one message that names what is wrong, no model loaded, earlier outputs as they were.

The stages run in this process, each through its own `main` with a command line: an error that a stage does not turn
into a message comes out as the exception that it is, and fails the test.
"""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.integration.project import ROOT, run
from tests.integration.small_project import PROMPTS_FILE, succeed
from tests.tiny.diffusion import build_diffusion
from tests.tiny.words import WORDS

DREAMBOOTH = (
    "subject_name,class\nrex,dog\n\nObject Prompts\nprompt_list = [\n'a {0} {1}'.format(unique_token,class_token),\n]\n"
)
WEIGHTS = "models/adapter/step-000001/pytorch_lora_weights.safetensors"
SAMPLE = "data/samples/base/snow/0.png"
LONG = "very " * 90


def empty_raw(project: Path) -> Path:
    shutil.rmtree(project / "data/raw")
    (project / "data/raw").mkdir()
    return project / "data/raw"


def test_missing_photos_are_an_error(spoiled, refused, no_model):
    raw = empty_raw(spoiled)
    assert "data/raw: expected photos (HEIC," in refused("convert")
    (raw / "IMG_1.MOV").touch()
    assert "ignored 1 files that are not photos: 1 *.mov" in refused("convert")
    shutil.rmtree(raw)
    assert "data/raw: expected a folder with photos" in refused("convert")


def test_one_photo_cannot_be_split(spoiled, refused):
    for number in (1, 2, 3):
        (spoiled / f"data/raw/IMG_{number}.png").unlink()
    for stage in ("convert", "crop", "caption"):
        succeed(stage)
    assert "at least 2 distinct photos" in refused("split")


@pytest.mark.parametrize("on_bad", ["fail", "skip"])
def test_all_photos_bad_is_an_error_that_lists_them(spoiled, refused, on_bad):
    raw = empty_raw(spoiled)
    (raw / "a.jpg").write_bytes(b"no photo")
    (raw / "b.HEIC").touch()
    message = refused("convert", f"convert.on_bad={on_bad}")
    assert "2 of 2 photos in data/raw cannot be used" in message
    assert "a.jpg: no known picture" in message
    assert "b.HEIC: an empty file" in message


def test_bad_photos_among_good_ones_stop_or_become_rows(spoiled, refused, capsys):
    (spoiled / "data/raw/bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    (spoiled / "data/raw/empty.heic").touch()
    message = refused("convert")
    assert "2 of 6 photos" in message
    assert "bad.jpg: " in message
    assert "empty.heic: " in message
    succeed("convert", "convert.on_bad=skip")
    table = pd.read_csv(spoiled / "data/images/images.csv").set_index("source")
    assert list(table.status[["bad.jpg", "empty.heic", "IMG_0.png"]]) == ["refused", "refused", "ok"]
    assert table.reason["empty.heic"] == "an empty file"
    succeed("crop")
    assert len(list((spoiled / "data/crops").glob("*.png"))) == 4


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "prompts.subject_name='bear' is not in data/prompts_and_classes.txt, which knows: dog, rex"),
        (["subject.class_name=dog"], "expected a line 'Live Subject Prompts'"),
        (["prompts.file=nowhere.txt"], "prompts.file: no such file: nowhere.txt"),
    ],
)
def test_class_must_be_in_the_dreambooth_file(spoiled, refused, no_model, overrides, message):
    (spoiled / "data/prompts_and_classes.txt").write_text(DREAMBOOTH)
    assert message in refused("generate", "prompts=dreambooth_file", *overrides)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"IMG_0.png|a toy on a rug\n", "data/raw/captions.txt:1: expected the token 'sksToy', found none in 'a toy"),
        (b"IMG_9.png|sksToy\n", "data/raw/captions.txt:1: no photo fits 'IMG_9.png'"),
        (b"IMG_0.png sksToy\n", "data/raw/captions.txt:1: expected `file|caption`"),
        (f"IMG_0.png|sksToy {LONG}\n".encode(), "IMG_0.png: 99 tokens of tokenizer, at most 77 fit"),
        (b"IMG_0.png|sksToy caf\xe9\n", "expected UTF-8 text, found byte 0xe9"),
    ],
)
def test_written_caption_is_refused_by_line(spoiled, refused, no_model, line, message):
    (spoiled / "data/raw/captions.txt").write_bytes(line)
    assert message in refused("caption")


@pytest.mark.parametrize(
    ("file", "old", "new", "stage", "message"),
    [
        ("data/captions.csv", b"sksToy", b"a", "train", "lacks the rare token 'sksToy': 'a photo of a bear"),
        ("data/captions.csv", b"caption,", b"text,", "train", "data/captions.csv: no column caption, found image_id"),
        ("data/split.csv", b",train", b",trian", "train", "is in 'trian', expected train or val"),
        ("data/split.csv", b",val", b",train", "train", "data/split.csv: no photo on the val side"),
        ("data/crops/crops.csv", b"left", b"lft", "train", "data/crops/crops.csv: no column left"),
        ("data/images/images.csv", b"image_id", b'"image_id', "crop", "images.csv: expected a table in UTF-8"),
        ("data/samples/manifest.csv", b"sha256", b"sha", "evaluate", "manifest.csv: no column sha256"),
        ("models/adapter/step-000001/pytorch_lora_weights.safetensors", b"{", b"(", "generate", "not a whole"),
    ],
)
def test_edited_table_is_refused_by_file(spoiled, refused, no_model, file, old, new, stage, message):
    shutil.rmtree(spoiled / ".cache")
    content = (spoiled / file).read_bytes()
    assert old in content
    count = -1 if new == b",train" else 1
    (spoiled / file).write_bytes(content.replace(old, new, count))
    assert message in refused(stage, *([PROMPTS_FILE] if stage == "generate" else []))


def test_caption_over_the_limit_is_refused_before_training(spoiled, refused):
    table = spoiled / "data/captions.csv"
    table.write_text(table.read_text().replace("sksToy bear", f"sksToy bear {LONG}".strip(), 1))
    message = refused("train")
    assert "which takes 77: 'a photo of sksToy bear very very" in message
    assert not list((spoiled / ".train_state").rglob("loss*"))


def test_sample_that_changed_or_went_is_named(spoiled, refused, no_model):
    sample = spoiled / SAMPLE
    content = sample.read_bytes()
    sample.write_bytes(content[:-20])
    assert f"{SAMPLE}: sha256 is " in refused("evaluate")
    sample.unlink()
    assert "missing files: base/snow/0.png" in refused("evaluate")
    sample.write_bytes(content)
    (sample.parent / "9.png").write_bytes(content)
    assert "files that it does not list: base/snow/9.png" in refused("evaluate")


def test_damaged_crop_and_photo_are_named(spoiled, refused):
    for folder, stage in (("data/crops", "train"), ("data/images", "crop")):
        image = sorted((spoiled / folder).glob("*.png"))[0]
        image.write_bytes(b"torn")
        assert f"{folder}/{image.name}: cannot be read" in refused(stage)


def test_adapter_of_another_base_is_refused_before_anything_is_generated(spoiled, refused):
    build_diffusion(spoiled / "models/other", "sdxl", list(WORDS), 0)
    shutil.rmtree(spoiled / ".cache")
    message = refused("generate", PROMPTS_FILE, "model.id=models/other")
    assert "reads texts 32 wide, the UNet of other 96; it was trained on another base model" in message
    assert not (spoiled / ".cache").exists()


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: data[:0]])
def test_damaged_adapter_is_refused_before_any_model_loads(spoiled, refused, no_model, damage):
    shutil.rmtree(spoiled / ".cache")
    (spoiled / WEIGHTS).write_bytes(damage((spoiled / WEIGHTS).read_bytes()))
    assert f"{WEIGHTS}: not a whole safetensors file" in refused("generate", PROMPTS_FILE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"_class_name": "KolorsPipeline"}', "_class_name is KolorsPipeline, expected one of StableDiffusionPipeline"),
        ("{", "model_index.json: not valid JSON"),
        (None, "no model_index.json, so not a diffusers model folder"),
    ],
)
def test_model_of_another_architecture_is_refused(spoiled, refused, no_model, content, message):
    index = spoiled / "models/other/model_index.json"
    shutil.copytree(spoiled / "models/tiny/sd", index.parent)
    index.unlink()
    if content is not None:
        index.write_text(content)
    shutil.rmtree(spoiled / ".cache")
    for stage in ("train", "generate"):
        assert message in refused(stage, "model.id=models/other")


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_damaged_model_is_refused(spoiled, refused, part):
    shutil.copytree(spoiled / "models/tiny/sd", spoiled / "models/other")
    weights = spoiled / f"models/other/{part}/diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    assert "models/other: cannot be loaded: " in refused("train", "model.id=models/other")


@pytest.mark.parametrize("file", ["clip/open_clip_model.safetensors", "dino/model.safetensors", "alexnet/alexnet.pth"])
def test_damaged_metric_model_is_refused(spoiled, refused, file):
    tiny = (spoiled / "models/tiny").resolve()
    (spoiled / "models/tiny").unlink()
    shutil.copytree(tiny, spoiled / "models/tiny")
    weights = spoiled / "models/tiny/metric_models" / file
    weights.write_bytes(weights.read_bytes()[:3000])
    assert f"{file}: not a whole weight file" in refused("evaluate")


def test_clearml_without_a_server_fails_at_once(spoiled, refused, no_model, monkeypatch):
    for name in ("API_HOST", "API_ACCESS_KEY", "API_SECRET_KEY", "OFFLINE_MODE"):
        monkeypatch.delenv(f"CLEARML_{name}", raising=False)
    monkeypatch.setenv("CLEARML_CONFIG_FILE", str(spoiled / "clearml.conf"))
    shutil.rmtree(spoiled / ".train_state")
    assert "clearml: no credentials on this machine. Run `clearml-init`" in refused("train", "tracker=clearml")


def test_command_prints_one_message_and_no_traceback(spoiled):
    shutil.rmtree(spoiled / "data/raw")
    env = ["env", "-u", "OMP_NUM_THREADS", f"PYTHONPATH={ROOT}"]
    for command in (
        ["-m", "src.stages.convert"],
        [str(ROOT / "train.py"), "lr=abc"],
        [str(ROOT / "inference.py"), "x"],
    ):
        result = run(spoiled, *env, "python", *command, check=False)
        assert result.returncode == 1
        assert len(result.stdout.splitlines()) == 1, result.stdout
