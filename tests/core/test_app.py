"""Stages are Hydra's apps: its flags do what they do elsewhere."""

import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from src.core.app import Stage, job_name
from src.core.digest import CONFIGS
from src.core.pretraining_config import load_pretraining_config

GAN = f"exp.config_path={CONFIGS}/scratch/gan.yaml"
RAN = []


def remember(params):
    RAN.append((params.split.seed, params.exp.run_dir))


def remember_steps(params):
    RAN.append((params.train.steps, params.task["noise_size"]))


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Runs a stage with a command line, in an empty folder; returns what its body was given."""
    monkeypatch.chdir(tmp_path)

    def call(*words, scratch=False):
        RAN.clear()
        monkeypatch.setattr(sys, "argv", ["stage", *words])
        if scratch:
            Stage(
                "pretraining", remember_steps, load_pretraining_config, partial(load_pretraining_config, "pretraining")
            ).main()
        else:
            Stage("split", remember).main()
        return list(RAN)

    return call


def test_multirun_runs_every_combination_in_a_folder_of_its_own(call):
    assert call("--multirun", "split.seed=1,2", "split.val_fraction=0.2,0.3") == [
        (seed, f"outputs/multirun/split.seed={seed},split.val_fraction={share}")
        for seed in (1, 2)
        for share in (0.2, 0.3)
    ]


def test_multirun_sweeps_groups_and_takes_any_text_beside_them(call):
    """The folder's name would be Hydra's grammar, and is a person's text."""
    ran = call("-m", "tracker=none,tensorboard", "exp.run_dir=<игрушка>, 1")
    assert ran == [(42, "<игрушка>, 1")] * 2


def test_multirun_leaves_no_files_of_hydra_beside_the_runs(call, tmp_path):
    call("-m", "split.seed=1,2")
    assert {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*") if path.is_file()} == {".cache"}


def test_multirun_trains_from_noise(call):
    assert call("-m", GAN, "train.steps=3,4", "task.noise_size=8", scratch=True) == [(3, 8), (4, 8)]


def test_an_error_in_a_job_is_one_line(call, capsys):
    with pytest.raises(SystemExit, match="1"):
        call("-m", "split.seed=1,-2")
    assert RAN == [(1, "outputs/multirun/split.seed=1")]
    assert capsys.readouterr().err.startswith("split: split.seed=-2")


def test_cfg_job_prints_what_the_stage_is_given(call, capsys):
    assert call("--cfg", "job", "split.seed=5") == []
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["split"]["seed"] == 5
    assert "lr" not in printed
    call("-c", "job", "-p", "split.seed")
    assert capsys.readouterr().out == "42\n"
    with pytest.raises(SystemExit, match="1"):
        call("-c", "job", "-p", "split.nope")
    assert capsys.readouterr().err == "split: --package split.nope: no such key\n"


@pytest.mark.parametrize(("words", "scratch", "key"), [(["lr=3"], False, "lr"), ([GAN], True, "task")])
def test_help_shows_the_keys_of_what_would_run(call, capsys, words, scratch, key):
    assert call(*words, "--help", scratch=scratch) == []
    printed = OmegaConf.create(capsys.readouterr().out.partition(":\n\n")[2])
    assert key in printed
    assert ("cropper" in printed) != scratch


@pytest.mark.parametrize("words", [["--info"], ["--info", "plugins"], ["--hydra-help"], ["--cfg", "hydra"]])
def test_other_flags_are_hydras_own(call, capsys, words):
    with suppress(SystemExit):  # Hydra's own way to end --hydra-help
        assert call(*words) == []
    assert "hydra" in capsys.readouterr().out.lower()


def test_shell_completion_knows_the_keys_and_the_choices(call, capsys, monkeypatch):
    monkeypatch.setenv("COMP_LINE", "train.py loss=")
    monkeypatch.setenv("COMP_POINT", "14")
    call("-sc", "query=bash")
    assert {"loss=min_snr", "loss=mse"} <= set(capsys.readouterr().out.split())


def test_an_unknown_flag_is_named(call, capsys):
    with pytest.raises(SystemExit, match="2"):
        call("--multi-run", "lr=1")
    assert "unknown flag: --multi-run" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["prompt='a/b'"], [f"train.sample_prompts=[{'x' * 200}]"]])
def test_names_of_jobs_are_short_names_of_folders_and_differ(words):
    name, other = job_name(words), job_name([f"{words[0]}c"])
    assert Path(name).name == name
    assert len(name) < 140
    assert name != other
