"""An adapter from elsewhere through the pipeline's stages; the stages have tests of their own."""

import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from src.commands import judge
from src.commands.judge import HELD_OUT, TRAINED, Case, hold_out_folder, name_cases, prepare
from src.core.errors import ConfigError, EmptyDatasetError
from src.models.tensors import save_tensors

NAMED = {"modelspec.trigger_phrase": "ohwx teddy bear"}
FACTORS = {
    "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight": torch.zeros(4, 8),
    "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_B.weight": torch.zeros(8, 4),
}


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"a photo")
    return folder


@pytest.fixture
def case(tmp_path):
    return Case("bear", tmp_path / "step-000010", tmp_path / "outputs/bear")


def checkpoint(folder, header, record=None):
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / "pytorch_lora_weights.safetensors", FACTORS, header)
    if record is not None:
        (folder / "config.yaml").write_text(yaml.safe_dump(record))


def params_of(case):
    return yaml.safe_load((case.folder / "params.yaml").read_text())


def test_what_a_checkpoint_says_of_itself_is_taken_over_and_may_be_overridden(case, photos, tmp_path):
    checkpoint(case.source, {}, {"subject": {"token": "ohwx", "class_name": "dog"}})
    prepare(case, photos, None, [], tmp_path)
    found = params_of(case)
    assert found["subject"] == {"token": "ohwx", "class_name": "dog"}
    assert (found["train"]["steps"], found["report"]["title"]) == (0, "bear")
    assert found["inferencer"]["ckpt_dir"] == "models/adapter/bear"
    assert (case.folder / "models/adapter/bear/pytorch_lora_weights.safetensors").is_file()
    prepare(case, photos, None, ["subject.token=sks", "subject.class_name=cat", "validation_args.seed=7"], tmp_path)
    found = params_of(case)
    assert found["subject"] == {"token": "sks", "class_name": "cat"}
    assert found["validation_args"]["seed"] == 7


def test_an_adapter_that_tells_no_words_is_refused(case, photos, tmp_path):
    checkpoint(case.source, {})
    with pytest.raises(ConfigError, match=r"does not say what to write for it; add subject\.token=WORD"):
        prepare(case, photos, None, [], tmp_path)


def test_words_of_a_files_header_are_taken(tmp_path):
    save_tensors(tmp_path / "bear.safetensors", FACTORS, NAMED)
    assert judge._trigger(tmp_path / "bear.safetensors") == ["subject.token='ohwx'", "subject.class_name='teddy bear'"]


def test_photos_are_copied_and_the_project_is_linked(case, photos, tmp_path):
    checkpoint(case.source, {}, {"subject": {"token": "ohwx", "class_name": "dog"}})
    root = tmp_path / "project"
    for name in ("models/base", "models/adapter", "metrics", "prompts", "src"):
        (root / name).mkdir(parents=True)
    held_out = tmp_path / "others"
    held_out.mkdir()
    (held_out / "b.png").write_bytes(b"another")
    prepare(case, photos, held_out, [], root)
    assert (case.folder / "data/raw" / TRAINED / "a.png").read_bytes() == b"a photo"
    assert (case.folder / "data/raw" / HELD_OUT / "b.png").read_bytes() == b"another"
    assert (case.folder / "models/base").readlink() == root / "models/base"
    assert (case.folder / "prompts").readlink() == root / "prompts"
    assert not (case.folder / "models/adapter").is_symlink()
    assert not (case.folder / "metrics").exists()
    # photos of an earlier run do not stay
    prepare(case, photos, None, [], root)
    assert not (case.folder / "data/raw" / HELD_OUT).exists()
    with pytest.raises(EmptyDatasetError, match="expected a folder with photos"):
        prepare(case, tmp_path / "nowhere", None, [], root)


def test_nothing_but_the_adapters_files_is_copied_and_links_stay_links(case, photos, tmp_path):
    checkpoint(case.source, {}, {"subject": {"token": "ohwx", "class_name": "dog"}})
    (case.source / "tax.pdf").write_bytes(b"private")
    (photos / "link.png").symlink_to(case.source / "tax.pdf")
    prepare(case, photos, None, [], tmp_path)
    assert not (case.folder / "models/adapter/bear/tax.pdf").exists()
    assert (case.folder / "data/raw" / TRAINED / "link.png").is_symlink()


@pytest.mark.parametrize("word", ["inferencer.weight=0.5", "report.title=Mine", "train.steps=7", "lr=5"])
def test_settings_that_nothing_reads_are_refused(case, photos, tmp_path, word):
    checkpoint(case.source, {}, {"subject": {"token": "ohwx", "class_name": "dog"}})
    with pytest.raises(ConfigError, match=f"{word.split('=')[0]}: nothing that judges reads it"):
        prepare(case, photos, None, [word], tmp_path)


def test_a_folder_of_a_model_is_found_from_the_cases_folder(case, photos, tmp_path, monkeypatch):
    checkpoint(case.source, {}, {"subject": {"token": "ohwx", "class_name": "dog"}})
    (tmp_path / "base").mkdir()
    monkeypatch.chdir(tmp_path)
    prepare(case, photos, None, ["model.id=base"], tmp_path)
    assert params_of(case)["model"]["id"] == str(tmp_path / "base")


def test_each_adapter_has_a_plain_name_of_its_own(tmp_path):
    first, *_ = name_cases([tmp_path / "my-toy.safetensors"], tmp_path)
    assert (first.name, first.folder) == ("my-toy", tmp_path / "outputs/judge/my-toy")
    with pytest.raises(ConfigError, match="another one is called toy, too"):
        name_cases([tmp_path / "a/toy.safetensors", tmp_path / "b/toy.safetensors"], tmp_path)
    assert name_cases([tmp_path / "My toy (v2).safetensors"], tmp_path)[0].name == "My-toy-v2"


def write_split(data, sources, groups):
    (data / "images").mkdir(parents=True)
    ids = [f"p{number}" for number in range(len(sources))]
    pd.DataFrame({"image_id": ids, "source": sources}).to_csv(data / "images/images.csv", index=False)
    table = pd.DataFrame({"image_id": ids, "group": groups, "split": "train"})
    table.to_csv(data / "split.csv", index=False)


def test_photos_of_the_held_out_folder_measure_but_for_twins_of_the_others(tmp_path, capsys):
    sources = [f"{TRAINED}/a.png", f"{TRAINED}/b.png", f"{HELD_OUT}/c.png", f"{HELD_OUT}/d.png"]
    write_split(tmp_path, sources, ["g1", "g2", "g2", "g3"])
    hold_out_folder(tmp_path)
    assert list(pd.read_csv(tmp_path / "split.csv")["split"]) == ["train", "train", "train", "val"]
    assert "1 held-out photos are near-duplicates" in capsys.readouterr().out


def test_held_out_photos_that_all_are_twins_measure_nothing(tmp_path):
    write_split(tmp_path, [f"{TRAINED}/a.png", f"{HELD_OUT}/c.png"], ["g1", "g1"])
    with pytest.raises(EmptyDatasetError, match="every photo is a near-duplicate"):
        hold_out_folder(tmp_path)


def test_the_stages_run_in_turn_and_the_split_follows_the_folder(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(judge, "hold_out_folder", lambda data: seen.append(data.as_posix()))
    for stage in judge.STAGES:
        monkeypatch.setattr(f"src.stages.{stage}.main", lambda: seen.append(" ".join(sys.argv)))
    judge.run_stages(held_out=True)
    run = [f"{stage} exp.config_path=params.yaml exp.run_dir=." for stage in judge.STAGES]
    assert seen == [*run[:4], "data", *run[4:]]


def test_a_stage_that_fails_ends_it(case, tmp_path):
    case.folder.mkdir(parents=True)
    (case.folder / ".dvc").mkdir()
    with pytest.raises(SystemExit, match="1"):
        judge.judge(case, held_out=False, root=Path())
