"""What is measured of the chosen checkpoint, whatever the others have generated."""

import shutil

import pandas as pd
import pytest

from src.comparison.selected import Selection
from src.core.errors import MetricError
from tests.metrics.synthetic import write_photos, write_samples
from tests.stages.test_evaluate import PROMPTS, SUBJECT_ONLY, VARIANTS, evaluate
from tests.tiny.metric_models import build_metric_models


@pytest.fixture
def project(tmp_path, monkeypatch):
    build_metric_models(tmp_path / "models/tiny/metric_models", seed=0)
    write_photos(tmp_path / "data")
    write_samples(tmp_path / "data/samples", VARIANTS, PROMPTS + SUBJECT_ONLY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def leave_out(project, variant, sets):
    folder = project / "data/samples"
    table = pd.read_csv(folder / "manifest.csv")
    left_out = (table["variant"] == variant) & table["set"].isin(sets)
    for path in table["path"][left_out]:
        (folder / path).unlink()
    table[~left_out].to_csv(folder / "manifest.csv", index=False)
    return int(left_out.sum())


def test_what_others_generated_of_the_test_prompts_changes_no_figure(project):
    every = evaluate(project, out="every")
    assert leave_out(project, "step-000020", ("test", "class-only", "subject-only")) == 10
    summary = evaluate(project)
    for row in ("run", "base", "copy", "real", "against_base", "copying", "reached", "checkpoints"):
        assert summary[row] == every[row]
    assert set(summary["checkpoints"]) == {"step-000010", "step-000020"}
    with pytest.raises(MetricError, match=r"step-000020 was chosen .* but the test prompts are of step-000010"):
        evaluate(project, chosen=Selection("step-000020", "last"))


def test_a_checkpoint_generates_all_prompts_or_the_dev_prompts(project):
    leave_out(project, "step-000020", ("class-only",))
    with pytest.raises(MetricError, match="step-000020 and base differ in 2 images"):
        evaluate(project)
    leave_out(project, "step-000020", ("test", "subject-only"))
    shutil.rmtree(project / "data/samples/step-000020/d0")
    manifest = project / "data/samples/manifest.csv"
    table = pd.read_csv(manifest)
    table[(table["variant"] != "step-000020") | (table["prompt_id"] != "d0")].to_csv(manifest, index=False)
    with pytest.raises(MetricError, match="step-000020 and base differ in 2 images"):
        evaluate(project)
