"""Trainings that are run once: their names, and what happens when one fails or the time is up."""

import pytest

from src.commands import trials
from src.commands.trials import Trial, project_content, run_trials
from src.core.errors import MetricError


def test_a_name_says_what_decides_the_result_however_it_is_said(monkeypatch):
    first = Trial.of("try", ["lr=1e-3", "seed=3"])
    assert first == Trial("try-" + first.name.split("-")[1] + "-3", ("lr=1e-3", "seed=3"))
    assert Trial.of("try", ["seed=3", "lr=0.001", "report.language=ru"]).name == first.name
    assert Trial.of("try", ["lr=1e-4", "seed=3"]).name != first.name
    monkeypatch.setattr(trials, "project_content", lambda: "other code or data")
    assert Trial.of("try", ["lr=1e-3", "seed=3"]).name != first.name


def test_code_that_generates_counts_and_pages_do_not(monkeypatch):
    seen = []
    monkeypatch.setattr(trials, "digest", lambda modules: seen.extend(modules) or "")
    project_content.cache_clear()
    project_content()
    project_content.cache_clear()
    wanted = {
        "src.training.loop",
        "src.methods.lora",
        "src.metrics.unrelated",
        "src.sampling.generator",
        "src.stages.crop",
    }
    assert wanted <= set(seen)
    assert not [name for name in seen if name.startswith(("src.reporting", "src.commands", "src.stages.report"))]


TRIALS = [Trial(name, ()) for name in "abcd"]


def test_the_same_command_goes_on_after_a_kill():
    done, ran = set(), []

    def run(trial):
        if len(ran) == 2:
            ran.append(None)
            raise KeyboardInterrupt
        ran.append(trial)
        done.add(trial.name)
        return 0

    with pytest.raises(KeyboardInterrupt):
        run_trials("try", TRIALS, lambda: done, run)
    assert run_trials("try", TRIALS, lambda: done, run)
    assert [trial for trial in ran if trial] == TRIALS


def test_no_run_begins_when_the_time_is_up_and_what_is_there_is_found_all_the_same(capsys):
    done = {"a", "b"}
    assert not run_trials("try", TRIALS, lambda: done, lambda _: 1, late=lambda: True)
    assert "the time is up before run 3 of 4, c" in capsys.readouterr().err
    assert run_trials("try", TRIALS[:2], lambda: done, lambda _: 1, late=lambda: True)


def test_a_run_that_fails_is_named():
    with pytest.raises(MetricError, match="a ended with status 3"):
        run_trials("try", TRIALS, set, lambda _: 3)
