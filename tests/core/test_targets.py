"""What `_target_` may name: files choose parts of the project, they run nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from src.core.building import build, build_each
from src.core.config import load_config
from src.core.errors import ConfigError
from src.core.pretraining_config import load_pretraining_config
from src.core.targets import check_targets

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT.parent / "shared/cases/make_cases.py"
FUNCTIONS = (
    "pandas.read_pickle",
    "numpy.load",
    "os.system",
    "builtins.eval",
    "torch.load",
    "src.core.files.write_text",
    "src.core.files.shutil.rmtree",
    "src.pretraining.folders.load_class_folders",
    "diffusers.utils.load_image",
)
OTHER_CLASSES = (
    "pathlib.Path",
    "subprocess.Popen",
    "pathlib.Path.write_text",
    "diffusers_evil.Scheduler",
    "torch.optimal.Evil",
    "srcs.X",
    "src.core.files.Path.write_text",
    "src..files.X",
    "./src.X",
    "X",
    "",
    5,
    None,
)
IMPORTED = (
    "src.core.files.Path",
    "src.models.sd.DiffusionPipeline",
    "torch.optim.swa_utils.AveragedModel",
    "torch.optim.lr_scheduler.StepLR",
    "diffusers.DiffusionPipeline",
    "diffusers.AutoencoderKL",
)


def canary(tmp_path, target):
    """A configuration that would write a file if its target were called."""
    return {"_target_": target, "path": str(tmp_path / "written"), "text": "x"}


@pytest.mark.parametrize("target", [*FUNCTIONS, *OTHER_CLASSES, *IMPORTED], ids=str)
def test_nothing_but_the_projects_parts_is_built(tmp_path, target):
    with pytest.raises(ConfigError) as refused:
        build(canary(tmp_path, target), "part")
    assert str(refused.value).startswith(f"part._target_={target}: expected a class of this project (src.*)")
    assert not list(tmp_path.iterdir())


def test_a_nested_target_is_found_and_named():
    with pytest.raises(ConfigError, match=r"task\.measures\[1\]\.features\._target_=os\.system: expected"):
        check_targets({"task": {"measures": [{}, {"features": {"_target_": "os.system"}}], "_recursive_": False}})


def test_parts_optimizers_and_schedulers_are_built():
    import torch

    assert build({"_target_": "src.losses.diffusion.MinSNRLoss", "gamma": 5.0}, "loss").gamma == 5.0
    weights = [torch.nn.Parameter(torch.zeros(1))]
    for name in ("torch.optim.SGD", "timm.optim.Lion"):
        assert build({"_target_": name, "_partial_": True}, "optimizer")(weights, lr=0.5).defaults["lr"] == 0.5
    assert build({"_target_": "diffusers.DDIMScheduler"}, "sampler").config.num_train_timesteps == 1000


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            {"_target_": "src.losses.diffusion.MinSNRLoss", "gamma": "much"},
            r"^part\.gamma: Value 'much' of type 'str'.*Float",
        ),
        (
            {"_target_": "src.training.schedules.ConstantSchedule", "warmup_steps": 1.5},
            r"^part\.warmup_steps: .*Integer",
        ),
        (
            {"_target_": "src.training.schedules.ConstantSchedule", "warmup_steps": None},
            "^part.warmup_steps: null, expected a value",
        ),
        (
            {
                "_target_": "src.metrics.scores.ImageSimilarity",
                "model": {"_target_": "src.features.dino.DinoModel", "crop_px": "big"},
            },
            r"^part\.model\.crop_px: Value 'big'",
        ),
        ({"_target_": "torch.optim.AdamW", "_partial_": True, "weight_decay": "x"}, r"^part\.weight_decay: Value 'x'"),
    ],
)
def test_an_argument_is_of_the_type_that_the_class_says(part, message):
    with pytest.raises(ConfigError, match=message):
        build(part, "part")


def test_a_part_gets_plain_values_and_numbers_as_they_were_written():
    """A rank of 16 is written to the adapter's file as it is, not as 16.0."""
    values = {"rank": 16, "alpha": 16, "dropout": 0, "target_modules": ["to_q"], "use_dora": False, "use_rslora": False}
    values |= {"train_text_encoder": False, "text_encoder_lr": "1e-5", "text_encoder_target_modules": []}
    method = build({"_target_": "src.methods.lora.LoraMethod", **values}, "method")
    assert repr(method._denoiser.lora_alpha) == "16"
    assert method.text_encoder_lr == 1e-5


def test_a_library_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(
        ConfigError,
        match=r"^optimizer\._target_=bitsandbytes\.optim\.AdamW8bit: no such class: import of bitsandbytes\.optim",
    ):
        build({"_target_": "bitsandbytes.optim.AdamW8bit"}, "optimizer")


@pytest.mark.parametrize("target", ["pandas.read_pickle", "src.core.files.write_text"])
def test_files_and_overrides_are_refused_when_they_are_loaded(tmp_path, target):
    (tmp_path / "own.yaml").write_text(f"cropper: {{_target_: {target}}}\n")
    for words in ([f"exp.config_path={tmp_path}/own.yaml"], [f"cropper._target_={target}"]):
        with pytest.raises(ConfigError, match=rf"^cropper\._target_={target}: expected"):
            load_config(words)
    (tmp_path / "noise.yaml").write_text(
        "task: {_target_: src.pretraining.gan.GanTask}\nval_data: {_target_: builtins.dict}\n"
        f"train_data: {{_target_: {target}}}\n"
    )
    with pytest.raises(ConfigError, match=rf"^train_data\._target_={target}: expected"):
        load_pretraining_config("pretraining", [f"exp.config_path={tmp_path}/noise.yaml"])


@pytest.mark.skipif(not CASES.is_file(), reason="needs the cases beside the project")
def test_the_case_that_reads_a_pickle_is_refused(tmp_path):
    subprocess.run([sys.executable, str(CASES), str(tmp_path)], check=True)
    with pytest.raises(ConfigError, match=r"train_data\._target_=pandas\.read_pickle"):
        load_pretraining_config("pretraining", [f"exp.config_path={tmp_path}/target_pickle.yaml"])


def test_each_entry_of_a_mapping_is_built_and_checked():
    target = {"_target_": "src.data.cropping.box.CentreCropper"}
    assert [one.name for one in build_each({"a": target, "b": target}, "tracker")] == ["centre"] * 2
    with pytest.raises(ConfigError, match=r"^tracker\.b\._target_=pathlib\.Path: expected"):
        build_each({"a": target, "b": {"_target_": "pathlib.Path"}}, "tracker")


def test_nothing_else_in_the_project_instantiates():
    using = [p for p in (ROOT / "src").rglob("*.py") if "hydra.utils" in p.read_text()]
    assert using == [ROOT / "src/core/building.py"]
