"""Features do not depend on batches or threads, each image is embedded once, and nothing odd passes silently."""

import numpy as np
import pytest
import torch
from PIL import Image

from src.core.errors import MetricError
from src.features.store import FeatureStore, ImageFile, exact_arithmetic, image_file, unit_vector
from src.metrics.scores import Diversity
from tests.metrics.synthetic import photos_of, sample


class CountingModel:
    """Embeds an image as its mean colour."""

    def __init__(self, factor=1.0):
        self.factor, self.seen = factor, 0

    def load(self, _device):
        return self

    def prepare(self, image):
        self.seen += 1
        return torch.from_numpy(np.array(image, np.float32)).permute(2, 0, 1)[:, :8, :8]

    def embed_images(self, batch):
        return batch.mean(dim=(2, 3)) * self.factor

    def embed_text(self, text):
        return torch.tensor([float(len(text)), 1.0]) * self.factor


def test_store_does_not_depend_on_the_batch(clip_model, dino_model, images):
    for metric_model in (clip_model, dino_model):
        whole = FeatureStore(len(images), "cpu").embed_images(metric_model, images)
        for batch_size in (1, 2, 3, 16):
            other = FeatureStore(batch_size, "cpu")
            assert np.abs(other.embed_images(metric_model, images) - whole).max() < 1e-6
            assert np.abs(other.embed_images(metric_model, images[::-1])[::-1] - whole).max() < 1e-6


def test_store_gives_the_same_bits_whatever_the_neighbours_and_threads(clip_model, dino_model, images):
    threads = torch.get_num_threads()
    for metric_model in (clip_model, dino_model):
        whole = FeatureStore(4, "cpu").embed_images(metric_model, images)
        alone = np.concatenate([FeatureStore(4, "cpu").embed_images(metric_model, [image]) for image in images])
        assert np.array_equal(whole, alone)
        torch.set_num_threads(1 if threads > 1 else 2)
        assert np.array_equal(FeatureStore(4, "cpu").embed_images(metric_model, images), whole)
        torch.set_num_threads(threads)


def test_store_embeds_each_image_once(images):
    metric_model, store = CountingModel(), FeatureStore(2, "cpu")
    store.embed_images(metric_model, [*images, images[0]])
    store.embed_images(metric_model, images[::-1])
    assert metric_model.seen == len(images)


def test_store_is_scale_invariant(images):
    store = FeatureStore(2, "cpu")
    once, thrice = (store.embed_images(CountingModel(factor), images) for factor in (1.0, 3.0))
    assert np.allclose(once, thrice, atol=1e-7)
    assert np.allclose(np.linalg.norm(once, axis=1), 1, atol=1e-12)


def test_store_gives_features_as_the_model_does(images):
    once, thrice = (FeatureStore(2, "cpu").image_features(CountingModel(factor), images) for factor in (1.0, 3.0))
    assert np.allclose(3 * once, thrice, rtol=1e-6)
    assert np.ptp(np.linalg.norm(once, axis=1)) > 0


def test_store_names_a_feature_that_is_zero_or_not_finite(images):
    for factor in (0.0, float("nan"), float("inf")):
        with pytest.raises(MetricError, match=r"gradient\.png"):
            FeatureStore(2, "cpu").embed_images(CountingModel(factor), images)
        with pytest.raises(MetricError, match="'a toy'"):
            FeatureStore(2, "cpu").embed_texts(CountingModel(factor), ["a toy"])
    with pytest.raises(MetricError, match="no images"):
        FeatureStore(2, "cpu").embed_images(CountingModel(), [])


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "1", "I;16", "CMYK"])
def test_store_refuses_what_no_stage_writes(tmp_path, mode):
    path = tmp_path / ("odd.tif" if mode == "CMYK" else "odd.png")
    Image.new(mode, (16, 16)).save(path)
    with pytest.raises(MetricError, match=r"odd\..*expected an 8-bit RGB"):
        FeatureStore(2, "cpu").embed_images(CountingModel(), [image_file(path)])


def test_store_names_a_damaged_or_missing_image(tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\nno")
    with pytest.raises(MetricError, match=r"broken\.png"):
        FeatureStore(2, "cpu").embed_images(CountingModel(), [image_file(path)])
    with pytest.raises(MetricError, match=r"absent\.png"):
        image_file(tmp_path / "absent.png")
    with pytest.raises(MetricError, match=r"absent\.png"):
        FeatureStore(2, "cpu").embed_images(CountingModel(), [ImageFile(tmp_path / "absent.png", "0")])


def test_uniform_images_have_finite_features(clip_model, dino_model, lpips_model, images, store, tmp_path):
    flat = []
    for level in (0, 128, 255):
        Image.new("RGB", (64, 64), (level,) * 3).save(tmp_path / f"{level}.png")
        flat.append(image_file(tmp_path / f"{level}.png"))
    assert np.isfinite(store.embed_images(clip_model, flat)).all()
    assert np.isfinite(store.embed_images(dino_model, flat)).all()
    rows = Diversity("div_lpips", lpips_model, ("test",)).score(
        [sample(file, seed=i) for i, file in enumerate(flat)], photos_of((), ()), store
    )
    assert all(row.value is not None and row.value > 0 for row in rows)


@pytest.mark.parametrize("tf32", [False, True])
def test_exact_arithmetic_is_without_tf32_and_leaves_it_as_it_was(tf32):
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        with exact_arithmetic():
            assert not torch.backends.cuda.matmul.allow_tf32
            assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cuda.matmul.allow_tf32 == tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False


def test_exact_arithmetic_restores_the_threads():
    before = torch.get_num_threads()
    with exact_arithmetic():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_unit_vector_keeps_the_direction():
    assert np.allclose(unit_vector(np.array([3.0, 4.0]), "x"), [0.6, 0.8])
