import hashlib
import json

import numpy as np
import pytest
import scipy.linalg
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from src.core.errors import ConfigError, MetricError, MissingModelError, ModelMismatchError
from src.models.tensors import save_tensors
from src.pretraining import fid
from src.pretraining.fid import (
    FidMeasure,
    InceptionFeatures,
    distance_of_halves,
    frechet_distance,
    prepare_as_pytorch_fid,
)
from src.tabletop.classifier import Classifier, ClassifierFeatures
from tests.pretraining.conftest import CPU, image_set


class MeanFeatures:
    """Mean of each channel."""

    name = "fid_mean"
    dimensions = 3

    def __init__(self):
        self.seen = 0

    def extract(self, pixels, device):
        assert device == CPU
        self.seen += len(pixels)
        return pixels.float().mean((2, 3))


def measure(features=None, **changes):
    keys = {"steps": 1, "guidance": 1.0, "seed": 5, "batch_size": 4, **changes}
    return FidMeasure(features=features or MeanFeatures(), **keys)


def normal(count, seed, dimensions=4):
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_distance_of_a_set_to_itself_is_zero():
    features = normal(50, 0)
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-6)
    # sampling error alone, though the rows differ
    assert frechet_distance(normal(20000, 1), normal(20000, 2)) < 0.01


def test_distance_of_normals_is_the_closed_form():
    # N(0, 1) against N(0.5, 2^2) in 4 dimensions: 4 * 0.5^2 + 4 * (1 + 4 - 2 * 2) = 5
    assert frechet_distance(normal(50000, 1), 0.5 + 2 * normal(50000, 2)) == pytest.approx(5.0, rel=0.03)


def test_distance_agrees_with_scipy_on_correlated_features():
    mixing = normal(4, 3)
    real, fake = (normal(300, 1) @ mixing).float(), (normal(200, 2) @ mixing.T + 1).float()
    means = [x.double().numpy().mean(0) for x in (real, fake)]
    spreads = [np.cov(x.double().numpy(), rowvar=False) for x in (real, fake)]
    root = scipy.linalg.sqrtm(spreads[0] @ spreads[1]).real
    wanted = ((means[0] - means[1]) ** 2).sum() + np.trace(spreads[0] + spreads[1] - 2 * root)
    assert frechet_distance(real, fake) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("kind", ["diffusion", "gan"])
@pytest.mark.parametrize("condition", ["class", "none"])
def test_as_many_are_generated_of_the_same_classes_as_are_held_out(
    kind, condition, make_diffusion, make_gan, monkeypatch
):
    val_set = image_set(10, 4)
    task = {"diffusion": make_diffusion, "gan": make_gan}[kind](condition, val_set=val_set)
    asked = []
    sample = task.sampler.sample

    def watched(wanted, *rest):
        asked.append(wanted)
        return sample(wanted, *rest)

    monkeypatch.setattr(task.sampler, "sample", watched)
    features = MeanFeatures()
    fid_measure = measure(features)
    first = fid_measure(task.sampler, val_set)
    assert asked == [val_set.labels.tolist() if condition == "class" else [None] * 10]
    assert features.seen == 20
    assert fid_measure(task.sampler, val_set) == first
    # the real side is not looked at again
    assert features.seen == 30
    assert first.keys() == {"fid_mean", "fid_mean_floor", "fid_mean_images"}
    assert first["fid_mean_images"] == len(val_set)


def test_distance_is_zero_for_a_model_that_generates_the_held_out_images(make_gan, monkeypatch):
    task = make_gan()
    monkeypatch.setattr(task.sampler, "sample", lambda *_: task.val_set.pixels)
    assert measure()(task.sampler, task.val_set)["fid_mean"] == pytest.approx(0, abs=1e-6)


def test_evaluation_reports_the_measure(make_gan, make_diffusion):
    for make in (make_gan, make_diffusion):
        found = make(measures=[measure()]).evaluate()
        assert found.keys() == {"val_loss", "fid_mean", "fid_mean_floor", "fid_mean_images"}


def test_no_more_images_than_dimensions_are_warned_of_and_measured(make_gan, capsys, monkeypatch):
    features = MeanFeatures()
    features.dimensions = 8
    task = make_gan(val_set=image_set(8, 1), measures=[measure(features)])
    assert "fid_mean over 8 images, not more than its 8 feature dimensions" in capsys.readouterr().err
    monkeypatch.setattr(task.sampler, "sample", lambda *_: task.val_set.pixels)
    assert task.measures[0](task.sampler, task.val_set)["fid_mean"] == pytest.approx(0, abs=1e-6)
    with pytest.raises(ConfigError, match="found 3 images, FID needs 4 or more"):
        make_gan(val_set=image_set(3, 1), measures=[measure()])


def test_floor_of_two_halves_falls_with_the_number_of_images():
    floors = [distance_of_halves(normal(count, 1)) for count in (40, 400, 4000)]
    assert floors[0] > 3 * floors[1] > 9 * floors[2] > 0
    assert floors[0] == distance_of_halves(normal(40, 1))


def test_preparation_is_that_of_pytorch_fid():
    pixels = image_set(2, 0, side=16).pixels
    source = pixels.numpy().astype(np.float64) / 255
    # pixel centres of a bilinear resize, the edges repeated
    at = np.clip((np.arange(299) + 0.5) * 16 / 299 - 0.5, 0, None)
    low = np.minimum(at.astype(int), 15)
    high, share = np.minimum(low + 1, 15), at - low
    rows = source[:, :, low] * (1 - share)[:, None] + source[:, :, high] * share[:, None]
    wanted = rows[..., low] * (1 - share) + rows[..., high] * share
    np.testing.assert_allclose(prepare_as_pytorch_fid(pixels).numpy(), 2 * wanted - 1, atol=1e-5)


def test_features_that_are_not_finite_are_refused(make_gan, monkeypatch):
    features = MeanFeatures()
    monkeypatch.setattr(features, "extract", lambda pixels, _: torch.full((len(pixels), 3), float("nan")))
    with pytest.raises(MetricError, match="fid_mean"):
        measure(features)(make_gan().sampler, image_set(6, 1))


@pytest.mark.parametrize("change", [{"steps": 0}, {"batch_size": 0}])
def test_measure_refuses_values_out_of_range(change):
    with pytest.raises(ConfigError, match="expected 1 or more"):
        measure(**change)


def test_reader_features_are_those_of_the_saved_reader(tmp_path):
    torch.manual_seed(0)
    classifier = Classifier([8, 16], 32)
    save_tensors(tmp_path / "model.safetensors", classifier.state_dict(), {"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps({"widths": [8, 16], "side": 32}))
    features = ClassifierFeatures(str(tmp_path))
    assert (features.name, features.dimensions) == ("fid_tabletop", 16)
    pixels = image_set(3, 0, side=32).pixels
    with torch.no_grad():
        wanted, _ = classifier(pixels.float() / 127.5 - 1)
    torch.testing.assert_close(features.extract(pixels, CPU), wanted)
    assert features.extract(image_set(3, 0, side=64).pixels, CPU).shape == (3, 16)
    with pytest.raises(MissingModelError):
        ClassifierFeatures(str(tmp_path / "none"))


def test_inception_is_refused_unless_it_is_the_published_file(tmp_path):
    weights = tmp_path / "weights.pth"
    with pytest.raises(MissingModelError, match=r"weights\.pth"):
        InceptionFeatures(str(weights), "pytorch_fid")
    weights.write_bytes(b"not this")
    with pytest.raises(ModelMismatchError, match="expected SHA-256 6726825d"):
        InceptionFeatures(str(weights), "pytorch_fid")


def test_inception_features_have_2048_dimensions(tmp_path, monkeypatch):
    module = "torch_fidelity.feature_extractor_inceptionv3"
    with monkeypatch.context() as patched, torch.device("meta"):
        patched.setattr(f"{module}.load_state_dict_from_url", lambda *_, **__: {})
        patched.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        shapes = FeatureExtractorInceptionV3("x", ["2048"]).state_dict()
    # one number for each tensor, stretched to its shape: a file of a few kB that loads as the real one does
    values = {key: torch.full((), 0.01, dtype=value.dtype).expand(value.shape) for key, value in shapes.items()}
    torch.save(values, tmp_path / "weights.pth")
    digest = hashlib.sha256((tmp_path / "weights.pth").read_bytes()).hexdigest()
    monkeypatch.setattr(fid, "INCEPTION_SHA256", digest[:8])
    extractor = InceptionFeatures(str(tmp_path / "weights.pth"), "pytorch_fid")
    assert (extractor.name, extractor.dimensions) == ("fid_inception", 2048)
    features = extractor.extract(image_set(1, 0, side=16).pixels, CPU)
    assert features.shape == (1, 2048)
    as_tensorflow = InceptionFeatures(str(tmp_path / "weights.pth"), "tensorflow1")
    assert as_tensorflow.name == "fid_inception_tf1"
    # the same layers in the same order: of the tensor that torch-fidelity itself makes of an image of 299 px
    large = image_set(1, 0, side=299).pixels
    monkeypatch.setattr(fid, "prepare_as_pytorch_fid", lambda pixels: (pixels.float() - 128) / 128)
    torch.testing.assert_close(extractor.extract(large, CPU), as_tensorflow.extract(large, CPU))
    with pytest.raises(ConfigError, match="preparation='other'"):
        InceptionFeatures(str(tmp_path / "weights.pth"), "other")
    assert features.dtype == torch.float32
