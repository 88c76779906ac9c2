import errno
import sys

import pytest
from dvc.utils.hydra import compose_and_dump
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from src.core.app import Stage
from src.core.config import compose, load_config, load_stage_params, to_dict
from src.core.digest import CONFIGS
from src.core.errors import ConfigError
from src.stages.config import guard_params


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
    for key in ("model", "captioner", "metric_models", "cropper", "crop", "lr", "metrics"):
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
        (["lr=abc"], "lr: Value 'abc' of type 'str' could not be converted to Float"),
        (["train.steps=1.5"], "train.steps: Value '1.5' of type 'float' could not be converted to Integer"),
        (["train.flip=maybe"], "train.flip: Value 'maybe' is not a valid bool"),
        (["model=unicorn"], "model=unicorn: no such choice"),
        (["subject=unicorn"], "subject=unicorn: no such choice"),
        (["exp.config_path=nowhere.yaml"], "no such file: nowhere.yaml"),
        (["tracker=null"], r"tracker=null: no such choice, expected one of clearml, none, .*, or several: \[a,b\]"),
        (["tracker=[]"], r"tracker=\[\]: no such choice"),
        (["cropper=null"], "cropper=null: no such choice, expected one of centre, detector, face, salient"),
        (["metrics=[null]"], r"metrics=\[None\]: no such choice"),
        (["metric_models=[]"], r"metric_models=\[\]: no such choice"),
        (["model=1"], "model=1: no such choice"),
        (["model=../../x"], r"model=\.\./\.\./x: no such choice"),
        (["~cropper"], "~cropper: expected one of centre"),
        (["train=null"], "override 'train=null': train: null, expected a value"),
        (["caption=[]"], r"override 'caption=\[\]': caption: a list and a mapping cannot stand for each other"),
        (["evaluate.margins=1"], r"evaluate.margins: Cannot assign int to Dict\[str, float\]"),
        (["seed=18446744073709551616"], r"seed=18446744073709551616: expected a whole number from 0 to 2\^63 - 1"),
        (["split.seed=-1"], "split.seed=-1: expected a whole number from 0"),
        (
            ["train.steps=99999999999999999999"],
            "train.steps=99999999999999999999: expected a number of at most 64 bits",
        ),
        (["crop.max_upscale=nan"], "crop.max_upscale=nan: expected a number that is finite"),
        (["train.val_timesteps=[inf]"], r"train.val_timesteps\[0\]=inf: expected a number that is finite"),
    ],
)
def test_wrong_overrides_are_named(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_config(overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lrr: 1\n", "unknown key lrr"),
        ("train: {stepz: 3}\n", "unknown key train.stepz"),
        ("model: ../../x\n", r"f\.yaml: model=\.\./\.\./x: no such choice, expected one of flux_dev"),
        ("cropper: null\n", r"f\.yaml: cropper=null: no such choice"),
        ("metrics: [default, ../x]\n", r"f\.yaml: metrics=\['default', '\.\./x'\]: no such choice"),
        ('model: "tiny,sd15"\n', r"f\.yaml: model=tiny,sd15: no such choice"),
        ("train: 5\n", r"f\.yaml: train: Invalid type assigned: int is not a subclass of TrainSettings\. value: 5"),
    ],
)
def test_what_a_file_cannot_say_is_named(tmp_path, text, message):
    (tmp_path / "f.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config([f"exp.config_path={tmp_path / 'f.yaml'}"])


def test_unknown_override_over_a_dump_is_named(tmp_path):
    with pytest.raises(ConfigError, match="lrr"):
        load_config([dump(tmp_path / "p.yaml"), "lrr=2"])


@pytest.mark.parametrize("override", ["lr=abc", "train.steps=1.5", "subject.tokenn=x"])
def test_dvc_refuses_what_has_another_type_before_it_writes(tmp_path, override):
    """As `dvc exp run -S` composes params.yaml; the project's plugin for DVC brings the types."""
    written = tmp_path / "params.yaml"
    compose_and_dump(written, str(CONFIGS), None, "config", str(CONFIGS.parent), ["lr=3e-3"])
    assert guard_params(written)[0].startswith("override lr=0.003")
    before = written.read_text()
    with pytest.raises(ConfigCompositionException, match=override.partition("=")[0]):
        compose_and_dump(written, str(CONFIGS), None, "config", str(CONFIGS.parent), [override])
    assert written.read_text() == before


def test_stage_sees_only_what_dvc_declares():
    params = load_stage_params("convert", [])
    assert params.convert.on_bad == "fail"
    with pytest.raises(AttributeError, match="no attribute 'lr'"):
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
        (IsADirectoryError(errno.EISDIR, "", "a.csv"), 1, "a folder, expected a file: a.csv; outputs are as before"),
        (
            NotADirectoryError(errno.ENOTDIR, "", "data"),
            1,
            "expected a folder, found a file in its place or on the way to it: data; outputs are as before",
        ),
        (OSError(errno.ENOSPC, "full"), 1, "the disk is full: a write failed; outputs are as before"),
        (KeyboardInterrupt(), 130, "interrupted; outputs are as before, the same command goes on"),
    ],
)
def test_a_stage_says_in_one_line_what_ended_it(monkeypatch, capsys, error, status, message):
    def body(_):
        raise error

    monkeypatch.setattr(sys, "argv", ["stage"])
    with pytest.raises(SystemExit) as ended:
        Stage("split", body).main()
    assert ended.value.code == status
    assert capsys.readouterr().err == f"split: {message}\n"


def test_a_stage_in_a_sub_folder_says_where_to_run_it(monkeypatch, capsys):
    """`python ../train.py` in docs/: every path of a stage would be wrong there."""
    monkeypatch.chdir(CONFIGS / "model")
    monkeypatch.setattr(sys, "argv", ["train"])
    with pytest.raises(SystemExit):
        Stage("train", lambda _: pytest.fail("it ran")).main()
    assert "is a sub-folder of the project: `cd ../..` and run it there" in capsys.readouterr().err


def test_a_stage_hides_no_other_trouble_of_the_disk(monkeypatch):
    def body(_):
        raise OSError(errno.EIO, "broken", "data")

    monkeypatch.setattr(sys, "argv", ["stage"])
    with pytest.raises(OSError, match="broken"):
        Stage("split", body).main()


@pytest.mark.parametrize("text", ["report: {title: '${oc.env:HOME}'}", "model: {id: '${ oc.decode:x}'}"])
def test_a_file_reads_no_variable_of_the_environment(text, tmp_path):
    (tmp_path / "f.yaml").write_text(text)
    with pytest.raises(ConfigError, match="not to the environment"):
        load_config([f"exp.config_path={tmp_path / 'f.yaml'}"])


def test_what_is_composed_once_belongs_to_each_caller():
    first = compose(["rank=4"])
    first.lr = 7.0
    assert compose(["rank=4"]).lr == compose().lr != 7.0
