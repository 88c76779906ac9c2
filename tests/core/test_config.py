import errno
import sys

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import ConfigAttributeError

from src.core.config import compose, load_config, load_stage_params, run_stage, to_dict
from src.core.errors import ConfigError


def dump(path, *overrides):
    config = compose(overrides)
    OmegaConf.resolve(config)
    path.write_text(OmegaConf.to_yaml(config))
    return f"exp.config_path={path}"


def test_command_line_reaches_interpolations_of_a_resolved_dump(tmp_path):
    config = load_config([dump(tmp_path / "p.yaml", "rank=4"), "rank=8"])
    assert (config.rank, config.method.rank, config.method.alpha) == (8, 8, 8)


def test_dump_of_other_choices_is_taken_as_it_is(tmp_path):
    config = load_config([dump(tmp_path / "p.yaml", "model=sdxl", "lr=3e-4", "cropper=centre")])
    direct = load_config(["model=sdxl", "lr=3e-4", "cropper=centre"])
    for key in ("model", "captioner", "judges", "cropper", "crop", "lr", "metrics"):
        assert config[key] == direct[key], key


def test_group_choice_on_the_command_line_replaces_the_dumps(tmp_path):
    config = load_config([dump(tmp_path / "p.yaml"), "model=sdxl"])
    assert config.crop.size_px == 1024
    assert config.captioner == compose(["model=sdxl"]).captioner


def test_partial_file_chooses_groups_by_name_and_command_line_wins(tmp_path):
    (tmp_path / "f.yaml").write_text("model: sdxl\nlr: 5e-4\ntrain: {steps: 7}\n")
    config = load_config([f"exp.config_path={tmp_path / 'f.yaml'}", "train.steps=9"])
    assert (config.model.name, config.lr, config.train.steps) == ("sdxl", 5e-4, 9)


def test_group_choice_wins_even_when_it_is_the_default(tmp_path):
    (tmp_path / "f.yaml").write_text("loss: min_snr\ntracker: [tensorboard, clearml]\n")
    file = f"exp.config_path={tmp_path / 'f.yaml'}"
    assert set(load_config([file]).tracker) == {"tensorboard", "clearml"}
    assert load_config([file, "loss=mse"]).loss == compose().loss
    over_sdxl = load_config([dump(tmp_path / "p.yaml", "model=sdxl"), "model=tiny"])
    assert (over_sdxl.model.name, over_sdxl.captioner) == ("tiny", load_config(["model=tiny"]).captioner)


def test_values_of_a_file_survive_a_group_choice_on_the_command_line(tmp_path):
    (tmp_path / "f.yaml").write_text("train: {steps: 7}\n")
    for file in (f"exp.config_path={tmp_path / 'f.yaml'}", dump(tmp_path / "p.yaml", "rank=3")):
        config = load_config([file, "model=sdxl"])
        assert config.train.gradient_checkpointing
        assert config.validation_args.guidance_scale == 5.0
        assert (config.train.steps, config.rank) == ((7, 16) if "f.yaml" in file else (500, 3))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["lrr=1"], "lrr"),
        (["train.stepz=1"], "stepz"),
        (["lr=abc"], "lr='abc' is str, expected float"),
        (["train.steps=1.5"], "train.steps=1.5 is float, expected int"),
        (["train.flip=1"], "train.flip=1 is int, expected bool"),
        (["model=unicorn"], "model/unicorn"),
        (["subject=unicorn"], "subject/unicorn"),
        (["exp.config_path=nowhere.yaml"], "no such file: nowhere.yaml"),
    ],
)
def test_wrong_overrides_are_named(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_config(overrides)


@pytest.mark.parametrize("text", ["lrr: 1\n", "train: {stepz: 3}\n"])
def test_unknown_key_in_a_file_is_named(tmp_path, text):
    (tmp_path / "f.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"lrr|stepz"):
        load_config([f"exp.config_path={tmp_path / 'f.yaml'}"])


def test_unknown_override_over_a_dump_is_named(tmp_path):
    with pytest.raises(ConfigError, match="lrr"):
        load_config([dump(tmp_path / "p.yaml"), "lrr=2"])


def test_stage_sees_only_what_dvc_declares():
    params = load_stage_params("convert", [])
    assert params.convert.on_bad == "fail"
    with pytest.raises(ConfigAttributeError):
        _ = params.lr


def test_hand_written_floats_are_numbers(tmp_path):
    (tmp_path / "f.yaml").write_text("lr: 5e-5\n")
    assert load_config([f"exp.config_path={tmp_path / 'f.yaml'}"]).lr == 5e-5


def test_several_trackers_at_once():
    assert set(load_config(["tracker=[tensorboard,clearml]"]).tracker) == {"tensorboard", "clearml"}
    assert to_dict(load_config(["tracker=none"]).tracker) == {}


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (PermissionError(errno.EACCES, "denied", "data/crops"), 1, "no permission: data/crops; outputs are as before"),
        (OSError(errno.EROFS, "read-only", "data"), 1, "the disk is read-only: data; outputs are as before"),
        (OSError(errno.ENOSPC, "full"), 1, "the disk is full: a write failed; outputs are as before"),
        (KeyboardInterrupt(), 130, "interrupted; outputs are as before, the same command goes on"),
    ],
)
def test_run_stage_says_in_one_line_what_ended_it(monkeypatch, capsys, error, status, message):
    def body(_):
        raise error

    monkeypatch.setattr(sys, "argv", ["stage"])
    with pytest.raises(SystemExit) as ended:
        run_stage("split", body)
    assert ended.value.code == status
    assert capsys.readouterr().err == f"split: {message}\n"


def test_run_stage_hides_no_other_trouble_of_the_disk(monkeypatch):
    def body(_):
        raise OSError(errno.EIO, "broken", "data")

    monkeypatch.setattr(sys, "argv", ["stage"])
    with pytest.raises(OSError, match="broken"):
        run_stage("split", body)


@pytest.mark.parametrize("text", ["report: {title: '${oc.env:HOME}'}", "model: {id: '${ oc.decode:x}'}"])
def test_a_file_reads_no_variable_of_the_environment(text, tmp_path):
    (tmp_path / "f.yaml").write_text(text)
    with pytest.raises(ConfigError, match="not to the environment"):
        load_config([f"exp.config_path={tmp_path / 'f.yaml'}"])
