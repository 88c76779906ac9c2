"""What trackers get of an evaluation, and that none of them can hold it."""

import json

import numpy as np
import pytest
from PIL import Image

from src.comparison.selected import Selection, write_selection
from src.core.config import load_settings
from src.core.errors import TrackerError
from src.metrics.samples import read_adapters
from src.stages import evaluate as stage
from tests.metrics.synthetic import write_photos, write_samples
from tests.stages.test_evaluate import PROMPTS, SUBJECT_ONLY, VARIANTS, blurred
from tests.tiny.metric_models import build_metric_models
from tests.trackers.fakes import FakeService


@pytest.fixture(scope="module")
def metric_models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    build_metric_models(folder / "models/tiny/metric_models", seed=0)
    return folder


@pytest.fixture
def project(tmp_path, monkeypatch, metric_models):
    (tmp_path / "models").symlink_to(metric_models / "models")
    write_photos(tmp_path / "data")
    write_samples(tmp_path / "data/samples", VARIANTS, PROMPTS + SUBJECT_ONLY)
    adapters = read_adapters(tmp_path / "data/samples/manifest.csv")
    write_selection(tmp_path / "metrics/choice.json", Selection("step-000010", "last"), adapters)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Recorder(FakeService):
    """Keeps what it is told."""

    def __init__(self, log):
        super().__init__(log)
        self.numbers, self.pictures = {}, []

    def scalars(self, step, values):
        super().scalars(step, values)
        self.numbers |= {(step, name): value for name, value in values.items()}

    def images(self, step, name, images, captions):
        super().images(step, name, images, captions)
        self.pictures.append((step, name, images[0]))


def run_stage_with(project, monkeypatch, *services):
    monkeypatch.setattr(stage, "build_each", lambda *_: list(services))
    monkeypatch.setattr(stage, "reconstruct", lambda *args, out: blurred(project)(args[-1]))  # noqa: ARG005
    stage._run(load_settings(["model=tiny"]))
    return json.loads((project / "metrics/details.json").read_text())


def test_evaluate_tells_the_trackers_every_mean_and_shows_them_a_grid(project, monkeypatch):
    recorder = Recorder(project / "log")
    details = run_stage_with(project, monkeypatch, recorder)
    chosen = details["selected_step"]
    rows = {"base": "base", "run": "run", "real": "real", "copy": "copy"}
    rows |= {"real_autoencoder": "real (autoencoder)", "copy_autoencoder": "copy (autoencoder)"}
    expected = {
        (chosen, f"evaluate/{told}/{metric}"): value
        for told, row in rows.items()
        for metric, value in details[row].items()
    }
    expected |= {
        (step, f"evaluate/checkpoints/{metric}"): value
        for step in (10, 20)
        for metric, value in details["checkpoints"][f"step-{step:06d}"].items()
    }
    assert recorder.numbers == expected
    [(step, name, grid)] = recorder.pictures
    assert (step, name) == (chosen, "evaluate/samples")
    corner = np.asarray(grid)[28 : 28 + 160, 160:320]
    own = Image.open(project / f"data/samples/step-{chosen:06d}/t0/0.png").convert("RGB")
    assert np.array_equal(corner, np.asarray(own.resize((160, 160), Image.Resampling.LANCZOS)))
    assert grid.size == (320, 14 + 3 * 174), "three test prompts, base and run"
    assert recorder.calls()[0] == "start"
    assert recorder.calls()[-1] == "close"


def test_evaluate_is_not_held_by_a_tracker_that_hangs(project, monkeypatch, capsys):
    monkeypatch.setattr(stage, "CLOSE_DEADLINE_S", 0.2)
    assert run_stage_with(project, monkeypatch, FakeService(project / "log", hangs_in="scalars"))["run"]
    assert "not done after 0.2 s" in capsys.readouterr().out


def test_evaluate_stops_before_it_scores_where_a_tracker_cannot_start(project, monkeypatch):
    with pytest.raises(TrackerError, match="on purpose"):
        run_stage_with(project, monkeypatch, FakeService(project / "log", raises_in="start", error=TrackerError))
    assert not (project / "metrics/scores.csv").exists()
