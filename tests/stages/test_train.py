from contextlib import chdir
from types import SimpleNamespace

import pytest
import torch

from src.core.config import load_stage_params
from src.core.errors import ConfigError
from src.stages.train import build_accelerator, build_length, state_folder
from src.training.fingerprint import fingerprint
from src.training.schedules import ConstantSchedule

BASE = ["device=cpu"]


def fill(folder):
    for name in ("data/crops/a.png", "data/captions.csv", "data/split.csv", "models/tabletop/sd/unet.bin"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(fill(tmp_path))
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """The name of the state without an override, in another folder of the same content."""
    with chdir(fill(tmp_path_factory.mktemp("usual"))):
        return name_of()


def name_of(*overrides):
    params = load_stage_params("train", [*BASE, *overrides])
    return folder_of(params).path.name.removesuffix(build_length(params, ConstantSchedule(0)).name)


def folder_of(params, stopping=None):
    work = SimpleNamespace(device=torch.device("cpu"), num_processes=1)
    return state_folder(params, work, stopping, build_length(params, ConstantSchedule(0)))


@pytest.mark.parametrize(
    "override",
    [
        "lr=1e-3",
        "rank=4",
        "seed=1",
        "train.mixed_precision=bf16",
        "train.base_dtype=bf16",
        "train.quantize=int8",
        "model.id=models/tabletop",
        "loss=min_snr",
        "method=dora",
        "lr_schedule=cosine",
        "train.flip=true",
        "subject.token=zwx",
    ],
)
def test_state_is_named_after_what_decides_the_weights(data, usual, override):
    assert name_of(override) != usual


@pytest.mark.parametrize(
    "override",
    [
        "tracker=none",
        "train.steps=7",
        "train.checkpoint_every=3",
        "train.val_every=7",
        "train.sample_prompts=[a]",
        "train.save_every=3",
        "train.sample_every=5",
        "exp.run_dir=x",
        "validation_args.guidance_scale=3.0",
        "sampler=ddim",
    ],
)
def test_watching_and_length_do_not_start_a_run_anew(data, usual, override):
    assert name_of(override) == usual


@pytest.mark.parametrize(
    "file", ["data/crops/a.png", "data/captions.csv", "data/split.csv", "models/tabletop/sd/unet.bin"]
)
def test_state_follows_the_contents(data, usual, file):
    (data / file).write_text("edited")
    assert name_of() != usual


def test_state_lives_in_the_repository_also_in_temporary_copies(data, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", "/somewhere")
    assert str(folder_of(load_stage_params("train", BASE)).path).startswith("/somewhere/.train_state/")


def test_runs_of_other_lengths_and_intervals_lie_side_by_side(data):
    names = [
        folder_of(load_stage_params("train", [*BASE, *more])).path.name
        for more in ([], ["train.steps=7"], ["train.checkpoint_every=3"], ["train.val_every=9"])
    ]
    assert len(set(names)) == 4
    assert len({name.split("-")[0] for name in names}) == 1


def test_early_stopping_asks_after_checkpoints_so_their_interval_decides(data):
    rule = SimpleNamespace(identity=lambda: {"metric_models": []})
    often, seldom = (
        folder_of(load_stage_params("train", [*BASE, f"train.checkpoint_every={every}"]), rule).path.name.split("-")[0]
        for every in (3, 4)
    )
    assert often != seldom


def test_fingerprint_does_not_depend_on_the_order_of_keys():
    names = {fingerprint(p, ["content"], "hub/id@rev", "code", "cpu") for p in ({"a": 1, "b": 2}, {"b": 2, "a": 1})}
    assert len(names) == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.mixed_precision=half"], "mixed_precision=half"),
        (["train.base_dtype=fp8"], "base_dtype=fp8"),
        (["train.base_dtype=fp16"], "underflow"),
        (["train.mixed_precision=fp16"], "needs a GPU"),
    ],
)
def test_precisions_that_lose_gradients_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        build_accelerator(load_stage_params("train", [*BASE, *overrides]))


def test_state_follows_the_adapter_to_begin_with_and_not_its_place(data, tmp_path):
    for name, content in (("a", "one"), ("b", "one"), ("c", "two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pytorch_lora_weights.safetensors").write_text(content)
    first, moved, other = (name_of(f"train.checkpoint_path={tmp_path / name}") for name in "abc")
    assert first == moved
    assert len({name_of(), first, other}) == 3
    with pytest.raises(ConfigError, match=r"a folder with pytorch_lora_weights\.safetensors"):
        name_of(f"train.checkpoint_path={tmp_path}")
