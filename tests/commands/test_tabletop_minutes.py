import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from diffusers import AutoencoderKL

from src.commands import tabletop_minutes
from src.commands.tabletop_minutes import Clock, Pace, count_pictures, main, pack, train_by_clock, unpack
from src.core.digest import CONFIGS
from src.core.errors import EmptyDatasetError, PipelineError
from src.core.pretraining_config import load_pretraining_config
from src.pretraining.autoencoder import AutoencoderTask
from src.tabletop.world import IMAGES, write_array

ROOT = CONFIGS.parent
SMALL = [
    f"exp.config_path={CONFIGS}/scratch/tabletop/vae.yaml",
    "task.model.block_out_channels=[8,8,8,8]",
    "task.terms={kl: 1e-4, perceptual: 0, adversary: 0, adversary_from: 1, adversary_width: 32}",
    "task.backbone=null",
    "~task.watched.subject",
    "train_data.folders=[world/train]",
    "val_data.folder=world/val",
    "train.batch_size=2",
    "train.log_every=1",
    "train.deterministic=false",
    "exp.run_dir=run",
    "device=cpu",
]


def put_pictures(count):
    random = np.random.default_rng(count)
    for part in ("train", "val"):
        folder = Path("world") / part
        write_array(folder / IMAGES, random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8))
        write_array(folder / "masks.npy", np.zeros((count, 32, 32), np.uint8))
        (folder / "scenes.csv").write_text("name\n" + "mug\n" * count)


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put_pictures(4)


def test_more_pictures_are_taken_in_and_training_goes_on(world, monkeypatch, capsys):
    rounds = []

    def count(params, clock):
        if len(rounds) == 2:
            put_pictures(8)
        rounds.append(count_pictures(params, clock))
        return rounds[-1]

    monkeypatch.setattr(tabletop_minutes, "count_pictures", count)
    share = train_by_clock(
        load_pretraining_config("minutes", SMALL), Clock(time.monotonic(), 9, 0.2, 3), Path("pieces")
    )
    said = capsys.readouterr().out
    assert rounds == [4, 4, 8]
    assert "4 pictures after" in said
    assert "8 pictures after" in said
    assert said.count("resuming after step") == 2, "a new task goes on with the old one's weights"
    assert 0 < share < 1
    steps = [int(line.split()[1].rstrip(":")) for line in said.splitlines() if line.startswith("step") and "{" in line]
    assert steps == sorted(set(steps))


def test_a_slow_first_update_does_not_shorten_the_training(world, monkeypatch):
    update, planned = AutoencoderTask.update, []

    def compiling(task, step):
        planned.append(task.plan.steps)
        if step == 0:
            time.sleep(3)
        return update(task, step)

    monkeypatch.setattr(AutoencoderTask, "update", compiling)
    clock = Clock(time.monotonic(), 9, 0.2, 3)
    train_by_clock(load_pretraining_config("minutes", [*SMALL, "train.steps=70"]), clock, Path("pieces"))
    assert planned[0] == 70
    # nine minutes of updates of a tenth of a second at most, where three seconds each would leave 180
    assert planned[-1] > 1000


def test_the_pace_is_that_between_two_rows_of_the_loss(monkeypatch):
    seconds = iter([100.0, 110.0, 120.0, 500.0])
    monkeypatch.setattr(tabletop_minutes.time, "monotonic", lambda: next(seconds))
    pace = Pace()
    assert pace.steps(done=40, planned=70, left_s=60) == 80, "nothing is known: twice what was done, or as planned"
    for step in (50, 100, 150):
        pace.log({"step": step, "loss": 1.0})
    pace.log({"step": 150, "val_loss": 1.0})
    pace.end_round()
    assert pace.updates_per_s == 5
    pace.log({"step": 151, "loss": 1.0})
    pace.end_round()
    assert pace.steps(done=151, planned=70, left_s=60) == 451, "a round of one row says nothing"


def test_the_next_run_begins_with_the_pieces_of_the_last(world, capsys):
    once = ["--minutes", "9", "--round-seconds", "0.1", "--rounds", "1"]
    main([*SMALL, *once, "--carried", "nothing", "--pieces", "first"])
    assert unpack(Path("first"), Path("model"))
    first = AutoencoderKL.from_pretrained("model").float().state_dict()
    again = [*SMALL, "exp.run_dir=again", "train.lr=1e-12"]
    main([*again, *once, "--carried", "first", "--pieces", "second"])
    assert unpack(Path("second"), Path("model"))
    second = AutoencoderKL.from_pretrained("model").float().state_dict()
    assert all(torch.allclose(first[name], value, atol=1e-3) for name, value in second.items())
    assert not unpack(Path("nothing"), Path("none"))


def test_the_clock_stops_the_training(world):
    began = time.monotonic()
    train_by_clock(load_pretraining_config("minutes", SMALL), Clock(began, 0.05, 1, None), Path("pieces"))
    assert time.monotonic() - began < 30, "three seconds, and one update that was under way"


def test_pictures_that_do_not_come_end_the_run(world):
    Path("world/train", IMAGES).unlink()
    with pytest.raises(EmptyDatasetError, match=r"world/train/images\.npy: not there after 0 minutes"):
        count_pictures(load_pretraining_config("minutes", SMALL), Clock(time.monotonic(), 0, 1, None))


def test_pieces_are_small_and_hold_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tabletop_minutes, "PIECE_BYTES", 4096)
    model = tmp_path / "model"
    (model / "unet").mkdir(parents=True)
    content = os.urandom(10_000)
    (model / "unet/weights").write_bytes(content)
    pack(model, tmp_path / "out")
    assert max(file.stat().st_size for file in (tmp_path / "out").iterdir()) == 4096
    assert unpack(tmp_path / "out", tmp_path / "back")
    assert (tmp_path / "back/unet/weights").read_bytes() == content
    (model / "unet/weights").write_bytes(b"short")
    pack(model, tmp_path / "out")
    unpack(tmp_path / "out", tmp_path / "back")
    assert (tmp_path / "back/unet/weights").read_bytes() == b"short", "no piece of the longer one is left"


def test_pieces_of_two_times_are_no_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(tabletop_minutes, "PIECE_BYTES", 4096)
    (tmp_path / "model").mkdir()
    for name in ("first", "second"):
        (tmp_path / "model/weights").write_bytes(os.urandom(10_000))
        pack(tmp_path / "model", tmp_path / name)
    (tmp_path / "first/piece-01.part").replace(tmp_path / "second/piece-01.part")
    for folder in ("first", "second"):  # one is missing, one is of the other
        with pytest.raises(PipelineError, match="the pieces are not the whole"):
            unpack(tmp_path / folder, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_minutes_that_are_over_are_said(world):
    with pytest.raises(PipelineError, match="1 minutes: none of them is left"):
        train_by_clock(load_pretraining_config("minutes", SMALL), Clock(time.monotonic(), 1, 1, 0), Path("pieces"))


def test_a_renderer_that_fails_ends_all_at_once(tmp_path):
    """The rest of a GPU's minutes would go into waiting for pictures."""
    (tmp_path / "tabletop").mkdir()
    (tmp_path / "tabletop/gpu.sh").write_bytes((ROOT / "tabletop/gpu.sh").read_bytes())
    python = tmp_path / "python"
    python.write_text(f"""#!/bin/sh
case "$*" in
  *tabletop_compositions*) sleep 1; echo no space left >&2; exit 1 ;;
  *tabletop_minutes*) echo $$ >> {tmp_path}/trainers; exec sleep 60 ;;
  *) exec {sys.executable} "$@" ;;
esac
""")
    python.chmod(0o755)
    (tmp_path / "tabletop/gpu/world/val").mkdir(parents=True)
    (tmp_path / "tabletop/gpu/world/val/images.npy").touch()
    for what, trainers in (("vae", 1), ("base", 2)):
        began = time.monotonic()
        command, environment = ["bash", tmp_path / "tabletop/gpu.sh", "--dry-run", what], {"PYTHON": str(python)}
        done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
        assert done.returncode
        assert "rendering has failed" in done.stderr
        assert time.monotonic() - began < 30
        started = [int(number) for number in (tmp_path / "trainers").read_text().split()]
        assert len(started) == trainers
        time.sleep(0.5)
        going_on = [one for one in psutil.process_iter(["status"]) if one.pid in started]
        assert all(one.info["status"] == psutil.STATUS_ZOMBIE for one in going_on), "no trainer goes on by itself"
        (tmp_path / "trainers").unlink()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["vae", "diffusion", "base"])
def test_dry_run_of_ten_minutes_on_a_gpu(what, published, tmp_path):
    (tmp_path / "models").symlink_to(published / "models")
    for name in ("src", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "tabletop").mkdir()
    (tmp_path / "tabletop/gpu.sh").write_bytes((ROOT / "tabletop/gpu.sh").read_bytes())
    environment = {**os.environ, "PYTHON": sys.executable, "OUT": str(tmp_path / "out")}
    done = subprocess.run(
        ["bash", str(tmp_path / "tabletop/gpu.sh"), "--dry-run", what],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pictures after" in done.stdout
    made = ["vae", "diffusion", "clip", "captioner"] if what == "base" else [what]
    assert sorted(folder.name for folder in (tmp_path / "out").iterdir()) == sorted(made)
    for name in made:
        assert unpack(tmp_path / "out" / name, tmp_path / "model")
        assert len((tmp_path / "model/evaluation.csv").read_text().splitlines()) > 2, "a header and two rounds"
        weights = {"diffusion": "unet/config.json", "clip": "open_clip_config.json"}.get(name, "config.json")
        assert (tmp_path / "model" / weights).is_file()
