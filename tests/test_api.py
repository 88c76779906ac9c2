"""What a notebook does: load, generate, score."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src.api import load
from src.core.errors import ConfigError, EmptyDatasetError, MetricError, ModelMismatchError
from src.features.store import FeatureStore
from src.stages.drawing import load_model
from tests.stages.own_prompts import BEAR, TINY, draw, pixels

DOCUMENTED = Path(__file__).resolve().parents[1] / "docs/inference.md"
TEXT = "a photo of a sksToy bear"
STEPS = {"num_inference_steps": 2, "batch_size": 2}

pytestmark = pytest.mark.usefixtures("own_prompts")


@pytest.fixture
def photos():
    """Crops of the pipeline's kind, beside what else lies there."""
    folder = Path("data/crops")
    (folder / "masks").mkdir(parents=True)
    (folder / "crops.csv").write_text("image_id\n")
    for number in range(3):
        Image.effect_noise((64, 64), 40 + 20 * number).convert("RGB").save(folder / f"{number}.png")
    return folder


@pytest.fixture
def metric_models(metric_models_folder, adapters):
    if not (adapters / "models/tiny/metric_models").exists():
        (adapters / "models/tiny/metric_models").symlink_to(metric_models_folder)


def test_the_documented_lines_run(photos, metric_models, tiny_models, adapters, capsys):
    [code] = re.findall(r"```python\n(.*?)```", DOCUMENTED.read_text(), re.S)
    assert len([line for line in code.splitlines() if line]) <= 10
    (adapters / "models/tabletop").mkdir(exist_ok=True)
    if not (adapters / "models/tabletop/sd").exists():
        (adapters / "models/tabletop/sd").symlink_to(tiny_models / "sd1")
    small = '"models/adapter", "metric_models=tiny", "model.resolution=64", "device=cpu"'
    exec(compile(code.replace('"models/adapter"', small), str(DOCUMENTED), "exec"), {})
    with Image.open("bear.png") as image:
        assert image.size == (64, 64)
    table = capsys.readouterr().out.splitlines()[-4:]
    assert table[0].split() == ["dino", "clip_t", "nn_train"]
    assert len({row.split()[1] for row in table[1:]}) == 3


def test_generating_gives_the_pictures_of_the_command_and_loads_the_base_once(monkeypatch):
    bear = load("models/adapter", *TINY)
    loaded = []
    monkeypatch.setattr("src.api.load_model", lambda *given: loaded.append(given) or load_model(*given))
    images = bear.generate(TEXT, seeds=1, **STEPS)
    half = bear.generate([TEXT, "a sksToy bear, [on] a 'rug'"], seeds=[1], weight=0.5, **STEPS)
    assert len(loaded) == 1
    assert [image.info["prompt"] for image in half] == [TEXT, "a sksToy bear, [on] a 'rug'"]
    assert np.array_equal(images[0], pixels(draw(BEAR))[0])
    assert np.array_equal(half[0], pixels(draw(BEAR, "inferencer.weight=0.5", "exp.run_dir=half"), "half")[0])
    more = bear.generate(TEXT, seeds=1, adapters=[{"path": "other", "weight": 0.5}], fuse=False, width=80, **STEPS)
    words = ["inferencer.adapters=[{path: other, weight: 0.5}]", "inferencer.fuse=false", "width=80", "exp.run_dir=two"]
    assert np.array_equal(more[0], pixels(draw(BEAR, *words), "two")[0])


def test_scores_are_the_metrics_own(photos, metric_models, dino_model, clip_model):
    bear = load("models/adapter", *TINY)
    images = bear.generate(TEXT, seeds=[1, 2], **STEPS)
    table = bear.score(images, photos)
    store = FeatureStore(16, "cpu")
    dino, clip = store.extractor(dino_model), store.extractor(clip_model)

    def units(extractor, pictures):
        found = extractor.embed_images(torch.stack([extractor.prepare(picture) for picture in pictures])).double()
        return found / found.norm(dim=1, keepdim=True)

    crops = [Image.open(path).convert("RGB") for path in sorted(photos.glob("*.png"))]
    likeness = (units(dino, images) @ units(dino, crops).T).numpy()
    np.testing.assert_allclose(table["dino"], likeness.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(table["nn_train"], likeness.max(axis=1), atol=1e-6)
    text = clip.embed_text("a photo of a bear").double()
    np.testing.assert_allclose(table["clip_t"], (units(clip, images) @ text / text.norm()).numpy(), atol=1e-6)
    assert table["div_lpips"].nunique() == 1
    assert "copy_gap" not in table
    other = bear.score(images, photos, prompt="a red car")
    assert (other["clip_t"] != table["clip_t"]).all()
    assert other["dino"].equals(table["dino"])


def test_what_cannot_be_done_is_said(photos, metric_models):
    bear = load("models/adapter", *TINY)
    with pytest.raises(ConfigError, match="steps: no such setting, expected one of adapters, batch_size, "):
        bear.generate(TEXT, steps=3)
    with pytest.raises(ConfigError, match="rank: neither generating nor scoring reads it"):
        load("models/adapter", *TINY, "rank=2")
    with pytest.raises(ConfigError, match="strength: could not act"):
        bear.generate(TEXT, strength=0.5)
    with pytest.raises(ModelMismatchError, match="nowhere"):
        load("nowhere", *TINY).generate(TEXT)
    blank = Image.new("RGB", (64, 64))
    with pytest.raises(MetricError, match="image 0: what it should show is not known"):
        bear.score([blank], photos)
    with pytest.raises(MetricError, match="no images"):
        bear.score([], photos)
    with pytest.raises(EmptyDatasetError, match="nowhere: expected a folder with photos"):
        bear.score([blank], "nowhere", TEXT)
    (photos / "x.png").write_text("no photo")
    with pytest.raises(ConfigError, match=r"x\.png"):
        bear.score([blank], photos, TEXT)
