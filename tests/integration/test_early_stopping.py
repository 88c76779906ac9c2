"""Early stopping on the tiny models: the rule itself decides, on pictures that it generates itself."""

from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from src.comparison.selected import Selection
from src.stages.choose import Chooser
from src.stages.early_stopping import EarlyStopping
from src.stages.training_setup import build_hooks
from src.training.state import StateFolder
from tests.integration.small_project import PROMPTS_FILE, succeed

# with lr=0 every checkpoint generates the same pictures, and a tie goes to the earlier one
EQUAL = (PROMPTS_FILE, "lr=0.0", "early_stopping=dev_prompts", "train.steps=9", "train.checkpoint_every=2")


def checkpoints(project):
    return sorted(path.name for path in (project / "models/adapter").iterdir())


@pytest.mark.parametrize(("patience", "last"), [(1, 4), (2, 6)])
def test_training_ends_patience_checkpoints_after_the_preferred_one(spoiled, capsys, patience, last):
    succeed("train", *EQUAL, f"early_stopping.patience={patience}")
    assert checkpoints(spoiled) == [f"step-{step:06d}" for step in range(2, last + 1, 2)]
    assert len((spoiled / "metrics/train/loss.csv").read_text().splitlines()) == last + 1
    assert "early stopping: step-000002 is preferred so far" in capsys.readouterr().out


def test_what_was_generated_to_decide_is_not_generated_again(spoiled, capsys):
    succeed("train", *EQUAL, "early_stopping.patience=1")
    capsys.readouterr()
    succeed("choose", PROMPTS_FILE)
    said = capsys.readouterr().out
    assert "step-000002: generated" not in said
    assert "choose: step-000002, the highest dino" in said
    succeed("generate", PROMPTS_FILE, "validation_args.num_subject_only_images=0")
    # one dev prompt is there, one test prompt is missing, and of the checkpoint that was not chosen none is wanted
    said = capsys.readouterr().out
    assert "step-000002: generated 1 images" in said
    assert "step-000004" not in said
    succeed("evaluate", PROMPTS_FILE, "inference_metrics=[dino,text_sim]")
    assert '"selected_step": 2' in (spoiled / "metrics/metrics.json").read_text()


def test_patience_counts_the_checkpoints_after_the_preferred_one(tmp_path, monkeypatch):
    steps = ("step-000002", "step-000004", "step-000006")
    settings = SimpleNamespace(train=SimpleNamespace(deterministic=False))
    rule = EarlyStopping(Chooser(settings, prompts=[], metrics=(), store=None, data=tmp_path), patience=2)
    for preferred, stops in [("step-000002", True), ("step-000004", False), ("step-000006", False)]:
        monkeypatch.setattr(Chooser, "choose", lambda *_, name=preferred: Selection(name, "last"))
        assert rule.should_stop([tmp_path / step for step in steps], tmp_path / "generated") is stops


def test_a_checkpoint_left_over_by_a_kill_is_not_counted(tmp_path):
    asked = []

    def should_stop(kept, _):
        asked.append([path.name for path in kept])
        return False

    params = OmegaConf.create({"train": {"checkpoint_every": 2}})
    (tmp_path / "checkpoints/step-000006").mkdir(parents=True)
    rule = SimpleNamespace(should_stop=should_stop)
    hooks = build_hooks(params, (None, None), StateFolder(tmp_path), None, rule)
    hooks.should_stop(4)
    assert asked == [["step-000002", "step-000004"]]
