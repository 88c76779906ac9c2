"""What a stage does not read is refused on its command line: taken, it would do nothing."""

import re

import pytest

from src.core.config import OWN_PROMPTS, declared_params, load_stage_params, unread_keys
from src.core.errors import ConfigError
from src.core.own_prompts import wants_own_prompts


@pytest.mark.parametrize(
    ("stage", "words", "refused"),
    [
        ("inference", ["method.alpha=4"], "method.alpha"),
        ("inference", ["rank=2"], "rank"),
        ("inference", ["lr=5"], "lr"),
        ("inference", ["prompts=live"], "prompts"),
        ("inference", ["validation_args.num_unrelated_images=3"], "validation_args.num_unrelated_images"),
        ("generate", ["seeds=3"], "seeds"),
        ("generate", ["prompt=a toy"], "prompt"),
        ("generate", ["inferencer.weight=0.5"], "inferencer.weight"),
        ("train", ["prompt=a toy"], "prompt"),
        ("train", ["crop.size_px=64"], "crop.size_px"),
        ("train", ["exp.from_image=x.png"], "exp.from_image"),
        ("evaluate", ["lr=1"], "lr"),
        ("convert", ["crop.pad=true"], "crop.pad"),
    ],
)
def test_a_key_that_cannot_act_is_refused_with_those_that_can(stage, words, refused):
    expected = re.escape(f"{refused}: nothing that {stage} reads, so it could not act; expected one of ")
    with pytest.raises(ConfigError, match=rf"{expected}.*{re.escape(declared_params(stage)[-1])}.*, exp, tracker"):
        load_stage_params(stage, words)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("inference", ["prompt=a", "seeds=3", "width=64", "sampler=ddim", "inferencer.fuse=true", "exp.from_image=x"]),
        # through the keys that take them over
        ("inference", ["seed=3"]),
        ("generate", ["seed=3", "sampler.class_name=DDIMScheduler", "exp.run_dir=x", "tracker=none"]),
        ("generate", ["subject=dog", "model=sdxl", "prompts=live"]),
        ("train", ["method.alpha=4", "rank=2", "lr=5", "validation_args.seed=1", "exp.config_path=null"]),
        ("crop", ["model=sdxl", "model.resolution=64", "cropper.model=x"]),
        # a group that sets other sections' keys
        ("inference", ["prompts=dreambooth_file"]),
        ("inference", ["memory=gb16", "model=sdxl"]),
        ("caption", ["subject.token=x"]),
        ("class_images", ["seed=3", "validation_args.guidance_scale=2"]),
    ],
)
def test_a_key_that_acts_is_taken(stage, words):
    assert unread_keys(stage, words) == []


def test_metric_models_act_in_training_where_a_rule_chooses_while_it_trains(tmp_path):
    words = ["metric_models=public"]
    assert unread_keys("train", words) == ["metric_models"]
    assert unread_keys("train", [*words, "early_stopping=dev_prompts"]) == []
    (tmp_path / "f.yaml").write_text("early_stopping: dev_prompts\n")
    assert unread_keys("train", [f"exp.config_path={tmp_path}/f.yaml", *words]) == []


def test_what_a_file_holds_is_not_refused(tmp_path):
    (tmp_path / "f.yaml").write_text("rank: 2\nlr: 3\n")
    assert load_stage_params("generate", [f"exp.config_path={tmp_path}/f.yaml"]).subject.token


def test_every_key_of_own_prompts_is_read_by_a_stage_or_by_inference():
    assert len(OWN_PROMPTS) == len(set(OWN_PROMPTS))
    assert not {"prompts", "validation_args"} & set(OWN_PROMPTS)


@pytest.mark.parametrize(
    ("words", "own"),
    [
        (["prompt=a toy"], True),
        (["prompt_file=p.txt"], True),
        (["exp.from_image=x.png"], True),
        (["prompt=null", "seeds=3"], False),
        ([], False),
        (["exp.config_path=nowhere.yaml"], False),
    ],
)
def test_prompts_of_ones_own_are_told_from_the_prompt_set(words, own):
    assert wants_own_prompts(words) == own


def test_a_file_asks_for_prompts_too_but_the_pipelines_parameters_never(tmp_path):
    file = tmp_path / "f.yaml"
    for text, own in (
        ("prompt: a toy\n", True),
        ("prompt: null\n", False),
        ("prompt: a toy\nconfigs_digest: x\n", False),
        ("prompt: [\n", False),
    ):
        file.write_text(text)
        assert wants_own_prompts([f"exp.config_path={file}"]) == own
