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
from src.sampling.generator import Job, sample
from src.sampling.prompts import Prompt
from src.stages.sampling_setup import sampling_settings
from src.tabletop.captions import agree, plain_caption
from src.tabletop.classifier import ANSWERS, load_classifier
from src.tabletop.render import render
from src.tabletop.scene import sample_scene, sample_toy, triples
from tests.integration.project import ROOT

LARGEST = 64 * 10**6
TOYS = 8
CPU = torch.device("cpu")


@pytest.fixture
def config(published, monkeypatch):
    composed = load_settings(["model=tabletop", "device=cpu"])
    monkeypatch.chdir(published)
    return composed


@pytest.fixture(scope="module")
def scenes():
    """Toys of unseen combinations, each from two sides on two backgrounds: a row of first views, then one of second."""
    wanted = triples(0)[1][:: len(triples(0)[1]) // TOYS][:TOYS]
    backgrounds = sorted({background for _, _, background in wanted})
    toys = [sample_toy(name, colour, n) for n, (name, colour, _) in enumerate(wanted)]
    first = [sample_scene(toy, where, 100 + n) for n, (toy, (_, _, where)) in enumerate(zip(toys, wanted, strict=True))]
    return first + [sample_scene(toy, backgrounds[n % len(backgrounds)], 200 + n) for n, toy in enumerate(toys)]


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
    assert cards == {
        "sd",
        "sd/vae",
        "blip",
        "classifier",
        "metric_models/clip",
        "metric_models/dino",
        "metric_models/alexnet",
    }


def test_diffusion_model_generates_the_background_and_colour_asked_for(config, published):
    sd = load_base_model(config.model.id, config.model.revision, config.model.variant, "fp32", CPU)
    assert len(sd.pipeline.tokenizer.tokenize("sksToy")) > 1
    wanted = triples(0)[1][:TOYS]
    jobs = [Job(Prompt("-".join(triple), "test", "held-out", ""), plain_caption(*triple), 0) for triple in wanted]
    images = [np.asarray(image) for _, image in sample(sd, sampling_settings(config), jobs)]
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    with torch.no_grad():
        answers = load_classifier(published / "models/tabletop/classifier", CPU)(to_unit(pixels, CPU))[1]
    right = {
        name: sum(choices[int(i)] == triple[n] for i, triple in zip(answers[name].argmax(1), wanted, strict=True))
        for n, (name, choices) in enumerate(ANSWERS.items())
    }
    assert right["background"] >= TOYS - 1
    assert right["colour"] >= TOYS - 1
    assert right["name"] >= TOYS / 2


def test_captioner_names_most_renders(config, scenes, renders):
    said = build(config.captioner, "captioner").describe([Path(file.path) for file in renders[:TOYS]])
    answers = [plain_caption(scene.toy.name, scene.toy.colour, scene.background) for scene in scenes[:TOYS]]
    right = [agree(text, answer.removeprefix("a photo of ")) for text, answer in zip(said, answers, strict=True)]
    assert sum(right) >= TOYS / 2


def test_clip_finds_most_captions(config, scenes, renders):
    metric_model, store = build(config.metric_models["clip"], "metric_models.clip"), FeatureStore(TOYS, "cpu")
    metric_model.check()
    texts = [plain_caption(scene.toy.name, scene.toy.colour, scene.background) for scene in scenes[:TOYS]]
    likeness = store.embed_images(metric_model, renders[:TOYS]) @ store.embed_texts(metric_model, texts).T
    assert (likeness.argmax(1) == np.arange(TOYS)).sum() >= TOYS - 2


def test_dino_finds_most_toys_again(config, renders):
    metric_model = build(config.metric_models["dino"], "metric_models.dino")
    metric_model.check()
    features = FeatureStore(TOYS, "cpu").embed_images(metric_model, renders)
    assert ((features[:TOYS] @ features[TOYS:].T).argmax(1) == np.arange(TOYS)).sum() >= TOYS - 2


def test_lpips_tells_pictures_apart(config, renders):
    metric_model = build(config.metric_models["lpips"], "metric_models.lpips")
    metric_model.check()
    extractor = metric_model.load("cpu")
    first, second = (extractor.embed(extractor.prepare(Image.open(file.path))) for file in renders[:2])
    assert extractor.distance(first, first) == 0
    assert extractor.distance(first, second) > 0.05
