"""Trainings that are run once: their names, and what happens when one fails or the time is up."""

import sys
from types import SimpleNamespace

import pytest

from src.commands import trials
from src.commands.trials import Trial, _check_unchanged, content_of, project_content, run_trials
from src.core.errors import ConfigError, MetricError, NonFiniteError


@pytest.mark.usefixtures("without_data")
def test_a_name_says_what_decides_the_result_however_it_is_said(monkeypatch):
    first = Trial.of("try", ["lr=1e-3", "seed=3"])
    assert first == Trial("try-" + first.name.split("-")[1] + "-3", ("lr=1e-3", "seed=3"))
    assert Trial.of("try", ["seed=3", "lr=0.001", "report.language=ru"]).name == first.name
    assert Trial.of("try", ["lr=1e-4", "seed=3"]).name != first.name
    monkeypatch.setattr(trials, "project_content", lambda: "other code or data")
    assert Trial.of("try", ["lr=1e-3", "seed=3"]).name != first.name


@pytest.mark.usefixtures("without_data")
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


def test_a_run_that_fails_is_named_and_one_that_diverges_is_told_apart():
    with pytest.raises(MetricError, match="a ended with status 1"):
        run_trials("try", TRIALS, set, lambda _: 1)
    with pytest.raises(NonFiniteError, match="a: its numbers became NaN"):
        run_trials("try", TRIALS, set, lambda _: NonFiniteError.exit_status)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A project with something that DVC tracks and a list of prompts."""
    (tmp_path / "data/raw").mkdir(parents=True)
    (tmp_path / "data/raw.dvc").write_text("outs: []")
    (tmp_path / "data/raw/a.heic").write_text("a photo")
    (tmp_path / "prompts.txt").write_text("prompts")
    (tmp_path / "own").mkdir()
    (tmp_path / "own/unet.bin").write_text("weights")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("file", ["data/raw/a.heic", "prompts.txt", "own/unet.bin"])
def test_content_counts_whether_it_is_recorded_or_not(data, file):
    words = ["prompts=dreambooth_file", "prompts.file=prompts.txt", "model.id=own"]

    def name():
        project_content.cache_clear()
        content_of.cache_clear()
        return Trial.of("try", words).name

    before = name()
    assert name() == before
    (data / file).write_text("edited")
    assert name() != before
    project_content.cache_clear()
    content_of.cache_clear()


def test_data_that_is_not_here_is_fetched_first(data):
    (data / "data/raw/a.heic").unlink()
    (data / "data/raw").rmdir()
    project_content.cache_clear()
    with pytest.raises(ConfigError, match="data/raw: not here; `dvc pull data/raw`"):
        project_content()


def test_an_edit_beneath_a_running_command_is_refused(monkeypatch):
    trial = Trial("try-12345678-3", ("lr=1e-3", "seed=3"))
    asked = []

    def fresh(command, **_):
        asked.append(command[3:])
        return SimpleNamespace(stdout="try-12345678-3\n")

    monkeypatch.setattr(trials.subprocess, "run", fresh)
    _check_unchanged(trial)
    assert asked == [["try", "lr=1e-3", "seed=3"]]
    with pytest.raises(MetricError, match="were changed since this command began, it would be try-12345678-3 now"):
        _check_unchanged(Trial("try-00000000-3", trial.overrides))


def test_a_stage_that_diverges_is_told_by_what_dvc_says(monkeypatch, capsys):
    monkeypatch.setattr(trials, "_check_unchanged", lambda _: None)
    said = f"ERROR: failed to run: python train.py, exited with {NonFiniteError.exit_status}"
    program = f"import sys; print({said!r}); sys.exit(255)"
    real = trials.subprocess.Popen
    instead = lambda *_, **options: real([sys.executable, "-c", program], **options)  # noqa: E731
    monkeypatch.setattr(trials.subprocess, "Popen", instead)
    assert trials.run_experiment(TRIALS[0]) == NonFiniteError.exit_status
    assert said in capsys.readouterr().err
