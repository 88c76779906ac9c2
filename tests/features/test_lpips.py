"""LPIPS against the package lpips 0.1.4 on the same random AlexNet, and against torchmetrics' own forward pass."""

from dataclasses import replace

import lpips
import pytest
import torch
from PIL import Image

from src.core.errors import MetricError, MissingModelError, ModelMismatchError
from src.features.lpips import LpipsModel


@pytest.fixture(scope="module")
def extractor(lpips_model):
    return lpips_model.load("cpu")


@pytest.fixture(scope="module")
def inputs(extractor, images):
    return [extractor.prepare(Image.open(file.path)) for file in images]


def distances(extractor, inputs):
    with torch.no_grad():
        maps = [extractor.embed(image) for image in inputs]
        return [[extractor.distance(a, b) for b in maps] for a in maps]


def test_lpips_equals_the_reference_package(lpips_model, extractor, inputs):
    reference = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
    state = torch.load(lpips_model.weights.find(), weights_only=True)
    names = {name: "features." + name.partition(".")[2] for name, _ in reference.net.named_parameters()}
    reference.net.load_state_dict({name: state[old] for name, old in names.items()}, strict=True)
    with torch.no_grad():
        theirs = [[float(reference(a[None], b[None])) for b in inputs] for a in inputs]
        torchmetrics = [[float(extractor.model(a[None], b[None])) for b in inputs] for a in inputs]
    ours = distances(extractor, inputs)
    assert torch.allclose(torch.tensor(ours), torch.tensor(theirs), atol=1e-5, rtol=0)
    assert torch.allclose(torch.tensor(ours), torch.tensor(torchmetrics), atol=1e-6, rtol=0)
    assert max(max(row) for row in ours) > 0.01  # there is something to compare


def test_lpips_is_a_symmetric_distance(extractor, inputs):
    table = distances(extractor, inputs)
    for i, row in enumerate(table):
        assert row[i] == 0
        for j, value in enumerate(row):
            assert value == table[j][i]
            assert i == j or value > 0


def test_lpips_is_frozen_fp32_in_evaluation_mode(lpips_model, inputs):
    loaded = lpips_model.load("cpu")
    assert not any(module.training for module in loaded.model.modules())
    assert all(not p.requires_grad and p.dtype == torch.float32 for p in loaded.model.parameters())
    once, twice = (distances(loaded, inputs[:2]) for _ in range(2))
    assert once == twice
    loaded.model.train()  # LPIPS has dropout before its heads
    assert distances(loaded, inputs[:2]) != once


def test_lpips_input_is_in_minus_one_to_one(extractor, images, inputs):
    black, white = Image.new("RGB", (64, 64)), Image.new("RGB", (64, 64), "white")
    assert extractor.prepare(black).unique().tolist() == [-1.0]
    assert extractor.prepare(white).unique().tolist() == [1.0]
    with pytest.raises(MetricError, match=r"\[-1, 1\]"):
        extractor.embed((inputs[0] * 127.5 + 127.5).to(torch.uint8))
    with pytest.raises(MetricError, match=r"\[-1, 1\]"):
        extractor.embed(inputs[0] * 127.5 + 127.5)


def test_lpips_leaves_the_classifier_of_the_public_file_alone(lpips_model, extractor, inputs, tmp_path):
    state = torch.load(lpips_model.weights.find(), weights_only=True)
    whole = {name: value.float() for name, value in state.items()} | {"classifier.1.weight": torch.zeros(4096, 9)}
    torch.save(whole, tmp_path / "alexnet.pth")
    other = replace(lpips_model, id=str(tmp_path)).load("cpu")
    assert distances(other, inputs[:2]) == distances(extractor, inputs[:2])


def test_lpips_names_what_is_wrong(lpips_model, tmp_path):
    with pytest.raises(ModelMismatchError, match="expected 0000"):
        replace(lpips_model, sha256="0" * 64).check()
    with pytest.raises(MissingModelError, match=r"example\.org"):
        LpipsModel("a", "A", 64, "/nowhere", None, "alexnet.pth", None, "https://example.org/alexnet.pth").check()
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "alexnet.pth")
    with pytest.raises(ModelMismatchError, match="AlexNet"):
        replace(lpips_model, id=str(tmp_path)).load("cpu")
