"""The models that come with the project: each loads through the loader of the real ones, and has learnt something."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from src.core.building import build
from src.core.config import load_settings
from src.features.store import FeatureStore, ImageFile
from src.models.families import load_base_model
from src.pretraining.images import to_unit
from src.sampling.generator import Job, draw
from src.sampling.prompts import Prompt
from src.stages.sampling_setup import draw_settings
from src.tabletop.captions import agree, plain_caption
from src.tabletop.classifier import ANSWERS, load_reader
from src.tabletop.render import render
from src.tabletop.scene import draw_scene, draw_toy, triples
from tests.integration.project import ROOT, pull_models

LARGEST = 64 * 10**6
TOYS = 8
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder with models/tabletop, as `dvc pull` makes it in a fresh clone."""
    return pull_models(tmp_path_factory.mktemp("published"))


@pytest.fixture
def config(published, monkeypatch):
    composed = load_settings(["model=tabletop", "device=cpu"])
    monkeypatch.chdir(published)
    return composed


@pytest.fixture(scope="module")
def scenes():
    """Toys of unseen combinations, each from two sides on two grounds: a row of first views, then one of second."""
    wanted = triples(0)[1][:: len(triples(0)[1]) // TOYS][:TOYS]
    grounds = sorted({ground for _, _, ground in wanted})
    toys = [draw_toy(name, colour, n) for n, (name, colour, _) in enumerate(wanted)]
    first = [draw_scene(toy, ground, 100 + n) for n, (toy, (_, _, ground)) in enumerate(zip(toys, wanted, strict=True))]
    return first + [draw_scene(toy, grounds[n % len(grounds)], 200 + n) for n, toy in enumerate(toys)]


@pytest.fixture(scope="module")
def renders(scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("renders")
    side = load_settings(["model=tabletop"]).model.resolution
    for number, pixels in enumerate(render(scenes, side, side, 3).numpy()):
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return [ImageFile(path, path.stem) for path in sorted(folder.iterdir())]


def test_models_fit_into_a_repository_and_have_cards(published):
    (out,) = yaml.safe_load((ROOT / "models/tabletop.dvc").read_text())["outs"]
    files = [path for path in (published / "models/tabletop").rglob("*") if path.is_file()]
    assert out["size"] == sum(path.stat().st_size for path in files) <= LARGEST
    cards = {
        path.parent.relative_to(published / "models/tabletop").as_posix() for path in files if path.name == "README.md"
    }
    assert cards == {"sd", "blip", "reader", "judges/clip", "judges/dino", "judges/alexnet"}


def test_diffusion_model_draws_the_ground_and_colour_asked_for(config, published):
    sd = load_base_model(config.model.id, config.model.revision, config.model.variant, "fp32", CPU)
    assert len(sd.pipeline.tokenizer.tokenize("sksToy")) > 1
    wanted = triples(0)[1][:TOYS]
    jobs = [Job(Prompt("-".join(triple), "test", "held-out", ""), plain_caption(*triple), 0) for triple in wanted]
    images = [np.asarray(image) for _, image in draw(sd, draw_settings(config), jobs)]
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    with torch.no_grad():
        answers = load_reader(published / "models/tabletop/reader", CPU)(to_unit(pixels, CPU))[1]
    right = {
        name: sum(choices[int(i)] == triple[n] for i, triple in zip(answers[name].argmax(1), wanted, strict=True))
        for n, (name, choices) in enumerate(ANSWERS.items())
    }
    assert right["ground"] >= TOYS - 1
    assert right["colour"] >= TOYS - 1
    assert right["name"] >= TOYS / 2


def test_captioner_names_most_renders(config, scenes, renders):
    said = build(config.captioner, "captioner").describe([Path(file.path) for file in renders[:TOYS]])
    answers = [plain_caption(scene.toy.name, scene.toy.colour, scene.ground) for scene in scenes[:TOYS]]
    right = [agree(text, answer.removeprefix("a photo of ")) for text, answer in zip(said, answers, strict=True)]
    assert sum(right) >= TOYS / 2


def test_clip_finds_most_captions(config, scenes, renders):
    judge, store = build(config.judges["clip"], "judges.clip"), FeatureStore(TOYS, "cpu")
    judge.check()
    texts = [plain_caption(scene.toy.name, scene.toy.colour, scene.ground) for scene in scenes[:TOYS]]
    likeness = store.embed_images(judge, renders[:TOYS]) @ store.embed_texts(judge, texts).T
    assert (likeness.argmax(1) == np.arange(TOYS)).sum() >= TOYS - 2


def test_dino_finds_most_toys_again(config, renders):
    judge = build(config.judges["dino"], "judges.dino")
    judge.check()
    features = FeatureStore(TOYS, "cpu").embed_images(judge, renders)
    assert ((features[:TOYS] @ features[TOYS:].T).argmax(1) == np.arange(TOYS)).sum() >= TOYS - 2


def test_lpips_tells_pictures_apart(config, renders):
    judge = build(config.judges["lpips"], "judges.lpips")
    judge.check()
    tower = judge.load("cpu")
    first, second = (tower.embed(tower.prepare(Image.open(file.path))) for file in renders[:2])
    assert tower.distance(first, first) == 0
    assert tower.distance(first, second) > 0.05
