from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from src.commands import tabletop_publish
from src.commands.tabletop_publish import PLACES, publish
from src.core.errors import ModelMismatchError
from src.core.files import write_csv, write_json, write_text
from src.core.weights import check_sums
from src.models.tensors import load_tensors, save_tensors
from src.tabletop.world import IMAGES, write_array

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = torch.tensor([7, 8])


@pytest.fixture
def trained(tmp_path):
    """What `dvc repro` in tabletop/ leaves, with weights of three numbers."""
    folder = tmp_path / "tabletop"
    write_array(folder / "world/train" / IMAGES, np.zeros((5, 48, 48, 3), np.uint8))
    for name in PLACES:
        weights = {"weight": torch.tensor([1.0, 1 / 3, 2e-8]), "numbers": NUMBERS}
        (folder / name / "model/part").mkdir(parents=True)
        save_tensors(folder / name / "model/part/weights.safetensors", weights, {"format": "pt"})
        write_text(folder / name / "model/config.json", f'{{"name": "{name}"}}')
        write_csv(folder / name / "evaluation.csv", pd.DataFrame({"step": [10, 20], "psnr": [1.5, 30.8125]}))
        write_json(folder / name / "time.json", {"minutes": 57.25, "device": "Abacus, 2 threads"})
    return folder


def test_models_are_published_in_half_precision_where_they_belong(trained, tmp_path):
    out = tmp_path / "out"
    assert publish(trained, out) == sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    for name, place in PLACES.items():
        tensors, metadata = load_tensors(out / place / "part/weights.safetensors")
        assert metadata == {"format": "pt"}
        torch.testing.assert_close(tensors["weight"], torch.tensor([1.0, 1 / 3, 2e-8]).half(), rtol=0, atol=0)
        assert torch.equal(tensors["numbers"], NUMBERS)
        assert (out / place / "config.json").read_text() == f'{{"name": "{name}"}}'


def test_cards_name_data_updates_time_and_scores(trained, tmp_path):
    publish(trained, tmp_path / "out")
    card = (tmp_path / "out/metric_models/dino/README.md").read_text()
    assert card.startswith("# dino\n")
    for line in (
        "configs/scratch/tabletop/dino.yaml",
        "- Data: 5 pictures of 48 px",
        "- Updates: 20",
        "- Time: 57 minutes on Abacus, 2 threads",
        "psnr 30.81",
    ):
        assert line in card
    assert (
        "configs/scratch/tabletop/diffusion.yaml, then the stage `refine`"
        in (tmp_path / "out/sd/README.md").read_text()
    )


def test_every_byte_that_was_published_is_named(trained, tmp_path):
    publish(trained, tmp_path / "out")
    check_sums(trained / "models.sha256", "dvc checkout")
    weights = tmp_path / "out/sd/part/weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    (tmp_path / "out/blip/config.json").unlink()
    wanted = rf"models.sha256 names: {tmp_path}/out/blip/config.json, {weights}; dvc checkout$"
    with pytest.raises(ModelMismatchError, match=wanted):
        check_sums(trained / "models.sha256", "dvc checkout")


def test_the_models_of_the_project_are_those_that_are_named():
    names = [line.split("  ")[1] for line in (ROOT / "tabletop/models.sha256").read_text().splitlines()]
    assert len([name for name in names if name.endswith(".safetensors")]) >= len(PLACES)
    if not (ROOT / "models/tabletop").is_dir():
        pytest.skip("dvc pull models/tabletop")
    assert sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "models/tabletop").rglob("*") if p.is_file()) == names


def test_a_model_that_is_not_trained_leaves_what_was_published(trained, tmp_path):
    publish(trained, tmp_path / "out")
    (trained / "clip/model").rename(trained / "clip/other")
    with pytest.raises(ModelMismatchError, match="clip/model: not trained yet"):
        publish(trained, tmp_path / "out")
    assert (tmp_path / "out/metric_models/clip/README.md").is_file()


def test_models_that_are_too_large_are_refused(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(tabletop_publish, "LARGEST", 1000)
    with pytest.raises(ModelMismatchError, match="expected at most"):
        publish(trained, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_publishing_says_how_long_each_stage_took(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_json(trained / "vae/time.json", {"minutes": 12.5, "device": "Abacus, 2 threads"})
    monkeypatch.setattr("sys.argv", ["tabletop_publish"])
    tabletop_publish.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[:-1] == [
        f"{name:10} {minutes:6.1f} minutes on Abacus, 2 threads"
        for name, minutes in sorted([("vae", 12.5), *((name, 57.25) for name in PLACES)])
    ]
    assert '"folder": "models/tabletop"' in lines[-1]
