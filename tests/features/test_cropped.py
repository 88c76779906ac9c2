"""The subject alone: a background like the photos' earns nothing."""

from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from src.core.config import load_settings
from src.features.cropped import CroppedModel
from src.features.store import image_file
from src.stages.evaluate import build_metrics


@dataclass(frozen=True)
class Corner:
    left: int = 0
    top: int = 0
    right: int = 32
    bottom: int = 32


class CornerCropper:
    def find(self, image):
        assert image.size == (64, 64)
        return Corner()


def test_what_lies_outside_the_crop_does_not_count(tmp_path, dino_model, store):
    subject = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8))
    files = []
    for name, ground in (("a", (255, 255, 255)), ("b", (0, 90, 0))):
        whole = Image.new("RGB", (64, 64), ground)
        whole.paste(subject, (0, 0))
        whole.save(tmp_path / f"{name}.png")
        files.append(image_file(tmp_path / f"{name}.png"))
    subject.save(tmp_path / "subject.png")
    cropped = CroppedModel(dino_model, CornerCropper(), "corner")
    first, second = store.embed_images(cropped, files)
    assert first @ second == pytest.approx(1, abs=1e-6)
    assert np.dot(*store.embed_images(dino_model, files)) < 0.999
    alone = store.embed_images(dino_model, [image_file(tmp_path / "subject.png")])[0]
    assert first @ alone == pytest.approx(1, abs=1e-6)
    assert cropped.describe() == {**dino_model.describe(), "crop": "corner"}


def test_configuration_crops_for_dino():
    params = load_settings(["model=tiny", "metrics=cropped", "inference_metrics=[dino_crop]"])
    (metric,) = build_metrics(params)
    assert metric.name == "dino_crop"
    assert metric.model.cropper.find(Image.new("RGB", (80, 64))).bottom <= 64


def test_the_metric_crops_with_the_network_of_the_croppers_own_file():
    cropper = load_settings(["cropper=salient"]).cropper
    margin = "metrics.dino_crop.model.cropper.margin=1.2"
    for words, used in (([], 1.1), ([margin], 1.2)):
        metric_model = load_settings(["cropper=face", "metrics=cropped", *words]).metrics["dino_crop"]["model"]
        assert metric_model["cropper"] == cropper | {"margin": used, "pad": False}
        assert metric_model["cropper_name"] == f"salient, margin {used}"
