"""A metric that nobody has heard of, and that asks no model, is one class: evaluate and pages know what it means."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from src.comparison.selected import Selection
from src.core.config import load_settings
from src.core.errors import MetricError
from src.features.store import FeatureStore
from src.metrics.base import Score
from src.metrics.quantities import Quantities, Quantity
from src.stages.evaluate import build_metrics, evaluate_samples
from tests.metrics.synthetic import write_photos, write_samples
from tests.tiny.metric_models import build_metric_models


@dataclass
class Brightness:
    """A metric that nobody has heard of, and that asks no model."""

    name: str = "brightness"
    model: None = None
    sets: tuple[str, ...] = ("test", "none")

    def quantities(self):
        return [Quantity(self.name, higher_is_better=False, low=0, high=255)]

    def score(self, samples, _references, _store):
        levels = (float(np.asarray(Image.open(sample.image.path)).mean()) for sample in samples)
        return [Score(sample, self.name, "none", level, "") for sample, level in zip(samples, levels, strict=True)]


def test_a_metric_without_a_model_is_one_class(tmp_path, monkeypatch):
    build_metric_models(tmp_path / "models/tiny/metric_models", seed=0)
    write_photos(tmp_path / "data")
    write_samples(tmp_path / "data/samples", ("base", "step-000010"), (("d0", "dev"), ("t0", "test"), ("t1", "test")))
    monkeypatch.chdir(tmp_path)
    metrics = [*build_metrics(load_settings(["model=tiny", "inference_metrics=[dino,clip_t]"])), Brightness()]
    args = FeatureStore(16, "cpu"), "sksToy", Selection("step-000010", "only"), lambda photos: photos
    summary = evaluate_samples(tmp_path / "data", tmp_path / "metrics", metrics, *args)
    pixels = [np.asarray(Image.open(path)) for path in (tmp_path / "data/samples/base").glob("t*/*.png")]
    assert summary["base"]["brightness"] == pytest.approx(np.mean([one.mean() for one in pixels]), abs=1e-6)
    meta = json.loads((tmp_path / "metrics/metrics_meta.json").read_text())
    assert "brightness" not in meta["metric_models"]
    quantities = Quantities.of(meta)
    assert quantities.order(summary["run"]) == ["dino", "clip_t", "brightness", "dino_train"]
    assert (quantities.label("brightness"), quantities.arrow("brightness")) == ("brightness", "↓")
    worse = Brightness()
    worse.quantities = lambda: [Quantity("brightness", False, 0, 1)]
    with pytest.raises(MetricError, match=r"expected brightness in \[0, 1\], found"):
        evaluate_samples(tmp_path / "data", tmp_path / "metrics", [*metrics[:-1], worse], *args)
    worse.quantities = lambda: [Quantity("light", False)]
    with pytest.raises(MetricError, match="brightness, which is none of its quantities"):
        evaluate_samples(tmp_path / "data", tmp_path / "metrics", [*metrics[:-1], worse], *args)
