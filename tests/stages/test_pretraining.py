import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image

from src.commands import pretraining_sample
from src.core.building import build
from src.core.digest import CONFIGS
from src.core.errors import CaptionError
from src.core.pretraining_config import load_pretraining_config
from src.models.families import load_base_model
from src.pretraining.autoencoder import AutoencoderTask
from src.pretraining.captions import WrittenCaptions
from src.pretraining.gan import GanTask
from src.sampling import generator
from src.sampling.prompts import Prompt
from src.stages import pretraining as stage
from src.stages.pretraining import build_length, name_measures, pretraining_stage, state_folder
from tests.trackers.fakes import FakeService

SMALL = [
    "train_data.folder=photos",
    "train_data.resolution=8",
    "task.generator_widths=[8, 8]",
    "task.discriminator_widths=[8, 8]",
    "task.discriminator_halvings=1",
    "train.steps=3",
    "train.batch_size=4",
    "train.log_every=1",
    "exp.run_dir=out",
]


def params(*more):
    return load_pretraining_config("pretraining", [f"exp.config_path={CONFIGS}/scratch/small_gan.yaml", *SMALL, *more])


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Two classes of 20 noisy pictures, of which the stage generates in `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(20):
            pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{index}.png")
    return tmp_path


@pytest.fixture
def trained(photos):
    pretraining_stage(params("task.measures=[]"))
    return photos / "out"


def sample(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["pretraining_sample", *words])
    pretraining_sample.main()


def pictures(folder):
    return {
        path.relative_to(folder).as_posix(): np.asarray(Image.open(path), dtype=int)
        for path in sorted(folder.rglob("*.png"))
    }


def test_a_training_leaves_model_curves_samples_and_report(trained):
    names = {path.name for path in trained.iterdir()}
    wanted = {
        "model",
        "samples",
        "loss.csv",
        "evaluation.csv",
        "config.yaml",
        "time.json",
        "report.html",
        "report.ru.html",
        "real",
    }
    assert names == wanted
    assert pd.read_csv(trained / "loss.csv")["step"].tolist() == [1, 2, 3]
    assert {path.name for path in (trained / "samples").iterdir()} == {"cat", "dog"}


def test_the_state_is_named_after_what_decides_weights(photos):
    def name(*more):
        length = build_length(params(*more))
        return state_folder(params(*more), [], "cpu", length).path.name.removesuffix(length.name)

    plain = name()
    for watching in (
        "task.measures=[]",
        "train.eval_every=7",
        "train.save_every=7",
        "train.steps=4",
        "exp.run_dir=elsewhere",
        "tracker=wandb",
    ):
        assert name(watching) == plain, watching
    for deciding in ("train.log_every=2", "seed=1", "task.noise_size=8"):
        assert name(deciding) != plain, deciding


TEXT = [
    f"exp.config_path={CONFIGS}/scratch/diffusion_text.yaml",
    "train_data.folder=photos",
    "train_data.resolution=8",
    "train_data.val_fraction=0.3",
    "task.vae=autoencoder",
    "task.text={hidden_size: 16, intermediate_size: 16, num_hidden_layers: 1, num_attention_heads: 2, "
    "projection_dim: 16, max_position_embeddings: 16}",
    "task.unet.sample_size=8",
    "task.unet.block_out_channels=[32,32,32]",
    "task.unet.layers_per_block=1",
    "task.unet.cross_attention_dim=16",
    "train.steps=2",
    "train.batch_size=4",
    "train.log_every=1",
    "device=cpu",
    "exp.run_dir=text",
]


def test_a_folder_with_captions_trains_by_text_and_generates(photos, capsys):
    vae = AutoencoderKL(block_out_channels=[8], norm_num_groups=4, latent_channels=4, sample_size=8)
    vae.save_pretrained("autoencoder")
    with pytest.raises(CaptionError, match=r"photos: 40 of 40 images have no caption: cat/0\.png"):
        pretraining_stage(load_pretraining_config("pretraining", TEXT))
    lines = [f"{path.parent.name}/{path.name}|a {path.parent.name} on snow" for path in photos.glob("photos/*/*.png")]
    (photos / "photos/captions.txt").write_text("\n".join(lines))
    config = load_pretraining_config("pretraining", TEXT)
    train_set = build(config.train_data, "train_data").load()
    length = build_length(config)
    before = state_folder(config, [train_set], "cpu", length).path
    other = WrittenCaptions(["a cat"] * len(train_set), train_set.labels.tolist())
    assert state_folder(config, [replace(train_set, captions=other)], "cpu", length).path != before
    pretraining_stage(config)
    assert pd.read_csv("text/loss.csv")["step"].tolist() == [1, 2]
    assert {path.name for path in Path("text/samples").iterdir()} == {"cat", "dog"}
    base = load_base_model("text/model", None, None, "fp32", torch.device("cpu"))
    assert base.pipeline.tokenizer.tokenize("a cat on snow") == ["a</w>", "cat</w>", "on</w>", "snow</w>"]
    settings = generator.SamplingSettings(8, 1, 2, 3.0, "", 1, 0, "DDIMScheduler", {}, "fp32")
    [(_, image)] = generator.sample(
        base, settings, [generator.Job(Prompt("p", "test", "snow", ""), "a dog on snow", 0)]
    )
    assert image.size == (8, 8)


class Recorder(FakeService):
    """Keeps every number, and which pictures it got."""

    def __init__(self, log):
        super().__init__(log)
        self.numbers, self.pictures = [], []

    def scalars(self, step, values):
        super().scalars(step, values)
        self.numbers += [(step, name, value) for name, value in values.items()]

    def images(self, step, name, images, captions):
        super().images(step, name, images, captions)
        self.pictures.append((step, name, captions))


def written(folder):
    """Every number of both curves as trackers are to have it."""
    rows = [row for name in ("loss", "evaluation") for row in pd.read_csv(folder / f"{name}.csv").to_dict("records")]
    return {(row["step"], f"train/{name}"): value for row in rows for name, value in row.items() if name != "step"}


def test_trackers_get_curves_samples_and_model_and_decide_no_weight(trained, monkeypatch):
    weights = (trained / "model/generator.safetensors").read_bytes()
    later, live = Recorder(Path("later.log")), Recorder(Path("live.log"))
    monkeypatch.setattr(stage, "build_each", lambda *_: [later])
    monkeypatch.setattr(GanTask, "update", None)  # a finished training is reported, not repeated
    pretraining_stage(params("task.measures=[]", "tracker=tensorboard"))
    monkeypatch.undo()
    monkeypatch.chdir(trained.parent)
    monkeypatch.setattr(stage, "build_each", lambda *_: [live])
    shutil.rmtree(".train_state")
    pretraining_stage(params("task.measures=[]", "train.eval_every=2"))
    assert (trained / "model/generator.safetensors").read_bytes() == weights
    assert [step for step, _, _ in later.pictures] == [3]
    assert [step for step, _, _ in live.pictures] == [2, 3]
    assert live.pictures[-1] == (3, "samples", ["cat"] * 6 + ["dog"] * 6)
    for recorder in (later, live):
        assert recorder.calls()[:2] == ["start", "config"]
        assert recorder.calls()[-2:] == ["artifact", "close"]
    found = {(step, name): value for step, name, value in live.numbers}
    assert found == pytest.approx(written(trained), rel=1e-6)
    assert {key for key in found if key[0] != 2} <= {(step, name) for step, name, _ in later.numbers}


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(("time", "report"))
    }


@pytest.mark.parametrize(
    ("more", "updates", "said"),
    [
        (["train.eval_every=4"], [3, 4], "takes the first 3 of 5 updates"),
        (["train.eval_every=2"], [0, 1, 2, 3, 4], "nothing was validated after update 2"),
        (["train.log_every=2"], [0, 1, 2, 3, 4], "end within a row of the loss curve"),
    ],
)
def test_a_longer_training_trains_what_is_missing_to_the_same_bytes(photos, monkeypatch, capsys, more, updates, said):
    pretraining_stage(params("task.measures=[]", *(word for word in more if "eval_every" not in word)))
    trained, update = [], GanTask.update
    monkeypatch.setattr(GanTask, "update", lambda self, step: trained.append(step) or update(self, step))
    recorder = Recorder(Path("told.log"))
    monkeypatch.setattr(stage, "build_each", lambda *_: [recorder])
    longer = params("task.measures=[]", *more, "train.steps=5")
    pretraining_stage(longer)
    assert trained == updates
    assert said in capsys.readouterr().out
    found, told = contents(photos / "out"), {(step, name): value for step, name, value in recorder.numbers}
    assert told == pytest.approx(written(photos / "out"), rel=1e-6)
    shutil.rmtree(".train_state")
    pretraining_stage(longer)
    assert contents(photos / "out") == found


def test_a_task_that_looks_ahead_is_not_made_longer(photos, monkeypatch):
    for looks_ahead in (False, True):
        monkeypatch.setattr(GanTask, "looks_ahead", looks_ahead)
        length = build_length(params("task.measures=[]"))
        assert (length.ahead(0, 5) != length.ahead(0, 6)) == looks_ahead
    assert AutoencoderTask.looks_ahead


def test_one_of_several_processes_is_refused_before_it_trains(photos, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("sys.argv", ["train.py"])
    with pytest.raises(SystemExit):
        stage.main()
    assert "pretraining runs in one process, and a launcher started 2" in capsys.readouterr().err


def test_measures_are_named_after_their_values_and_their_files(photos):
    (photos / "reader").mkdir()
    weights = photos / "reader/weights"
    weights.write_text("one")

    def measure(steps):
        features = "{_target_: src.tabletop.classifier.ClassifierFeatures, folder: reader}"
        return name_measures(
            params(
                f"task.measures=[{{_target_: src.pretraining.fid.FidMeasure, features: {features}, "
                f"steps: {steps}, guidance: 1.0, seed: 1, batch_size: 4}}]"
            )
        )

    first = measure(1)
    assert measure(1) == first
    assert measure(2) != first
    weights.write_text("two")
    assert measure(1) != first


def test_generating_writes_class_folders_and_more_images_leave_the_first(trained, monkeypatch, capsys):
    sample(monkeypatch, "out", "few", "--each", "2", "--seed", "5")
    assert capsys.readouterr().out.splitlines()[-1] == "few: 4 images of 8 px, 2 classes"
    sample(monkeypatch, "out", "many", "--each", "3", "--seed", "5")
    sample(monkeypatch, "out", "other", "--each", "2", "--seed", "6")
    few, many, other = (pictures(trained.parent / name) for name in ("few", "many", "other"))
    assert list(few) == ["cat/000.png", "cat/001.png", "dog/000.png", "dog/001.png"]
    assert len(many) == 6
    for name, pixels in few.items():
        assert abs(pixels - many[name]).max() <= 1, name
        assert abs(pixels - other[name]).max() > 1, name


def test_generating_refuses_what_it_cannot_do(trained, monkeypatch, capsys):
    (trained.parent / "full").mkdir()
    for words, message in ((("nowhere", "full"), "full: exists"), (("nowhere", "new"), "nowhere/model: no model")):
        with pytest.raises(SystemExit, match="1"):
            sample(monkeypatch, *words)
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        sample(monkeypatch, "out", "new", "--each", "0")
