"""Several subjects: their folders, their graph, and the table; the stages have tests of their own."""

import sys

import pandas as pd
import pytest
import yaml

from src.commands import subjects
from src.commands.subject_folders import find_subjects, for_each_subject, prepare, stages, stages_until, write_graph
from src.commands.subject_results import ending
from src.commands.subject_run import run_subject
from src.core.errors import ConfigError, EmptyDatasetError
from tests.comparison.finished_runs import write_run
from tests.integration.project import ROOT

FAILED_LOG = """Running stage 'subjects/dvc.yaml:convert@bad':
convert: 1 of 1 photos in data/raw cannot be used:
  IMG_1.HEIC: cut off
ERROR: failed to reproduce 'subjects/dvc.yaml:convert@bad': failed to run: env PYTHONPATH=../.. python -m
subjects: dvc ended with status 255
"""
UP_TO_DATE = f"Data and pipelines are up to date.\n{ending(0)}"


def params(root, name):
    return yaml.safe_load((root / "subjects" / name / "params.yaml").read_text())


def command(monkeypatch, root, *words):
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["subjects", *words])
    subjects.main()


def test_a_subjects_words_and_those_for_all_become_its_parameters(root):
    for subject in find_subjects(root):
        prepare(subject, ["model=sd15", "lr=3e-4"], root)
    assert params(root, "dog3")["subject"] == {"token": "ohwx", "class_name": "dog"}
    assert params(root, "mug")["subject"]["class_name"] == "mug"
    assert params(root, "mug")["lr"] == params(root, "dog3")["lr"] == 3e-4
    assert params(root, "mug")["prompts"] != params(root, "dog3")["prompts"]  # a dog lives
    assert (root / "subjects/mug/models/tabletop").resolve() == root / "models/tabletop"
    assert not (root / "subjects/mug/models/adapter").exists()
    assert (root / "subjects/mug/data/raw").resolve() == root / "subjects/mug/raw"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("token: sks\n", r"mug/subject\.yaml: expected what it is, as in `class_name: dog`"),
        ("class_name: ''\n", r"mug/subject\.yaml: expected what it is"),
        ("class_name: 7\n", r"mug/subject\.yaml: class_name: 7: expected a text, in quotes if it is a number"),
        ("class_name: mug\ntoken:\n", r"mug/subject\.yaml: token: None: expected a text"),
        ("class_name: mug\ntoken: [a, b]\n", r"mug/subject\.yaml: token: .*: expected a text"),
        ("class_name: mug\nlr: 1\n", r"mug/subject\.yaml: lr: expected one of subject, class_name, token"),
        ("class_name: mug\nsubject: plant\n", r"mug/subject\.yaml: subject: plant: expected one of .*dog.*toy"),
    ],
)
def test_a_subject_that_does_not_say_what_it_is_is_refused(root, words, message):
    (root / "subjects/mug/subject.yaml").write_text(words)
    with pytest.raises(ConfigError, match=message):
        find_subjects(root)


def test_what_cannot_be_a_subject_is_refused_in_a_line(root, tmp_path, monkeypatch):
    with pytest.raises(EmptyDatasetError, match="expected a folder of photos for each subject"):
        find_subjects(tmp_path / "nothing")
    dog, mug = find_subjects(root)
    with pytest.raises(ConfigError, match=r"^subject\.token=x: differs from subject to subject: .*subject\.yaml says"):
        prepare(dog, ["subject.token=x"], root)
    with pytest.raises(ConfigError, match=r"^\+\+subject\.token=x: differs from subject to subject"):
        prepare(dog, ["++subject.token=x"], root)
    (root / "subjects/dog3/data/raw").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"dog3/data/raw: expected nothing here, it becomes a link to \.\./raw; move"):
        prepare(dog, [], root)
    (root / "subjects/mug/models").mkdir()
    (root / "subjects/mug/models/tabletop").symlink_to("elsewhere")
    with pytest.raises(ConfigError, match=r"models/tabletop: a link to elsewhere, expected \.\./\.\./\.\./models"):
        prepare(mug, [], root)
    (root / "subjects/mug/raw").rmdir()
    assert [one.name for one in find_subjects(root)] == ["dog3", "mug"], "it is not lost where DVC has its photos"
    with pytest.raises(ConfigError, match=r"mug/raw: expected the folder of its photos"):
        prepare(mug, [], root)
    (root / "subjects/my dog/raw").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"my dog: a subject's name has letters"):
        find_subjects(root)


def test_the_graph_has_every_stage_for_every_subject(root):
    write_graph(find_subjects(root), root)
    graph = yaml.safe_load((root / "subjects/dvc.yaml").read_text())
    assert graph["stages"].keys() == stages(root).keys()
    assert yaml.safe_load((root / "subjects/subjects.yaml").read_text()) == {"subjects": ["dog3", "mug"]}
    made = [[*stage["outs"], *stage.get("plots", [])] for stage in graph["stages"].values()]
    outputs = {path for entries in made for entry in entries for path in ([entry] if isinstance(entry, str) else entry)}
    for stage in graph["stages"].values():
        assert (stage["matrix"], stage["wdir"]) == ({"subject": "${subjects}"}, "${item.subject}")
        # what another of its stages makes, its own photos, or something of the project's
        for path in stage["deps"]:
            known = path in outputs or path == "raw" or path.startswith("data/code/")
            assert known or (root / "subjects/mug" / path).resolve().relative_to(root).as_posix() in PROJECTS_OWN


PROJECTS_OWN = ("configs", "src", "train.py", "inference.py", "models/tabletop", "tabletop/models.sha256")


def test_a_stage_of_a_subject_runs_the_projects_code_in_its_folder():
    stage = {"desc": "d", "cmd": "python train.py a=1", "deps": ["data/raw", "data/crops", "src"], "outs": ["data/x"]}
    assert for_each_subject(stage) == {
        "desc": "d",
        "matrix": {"subject": "${subjects}"},
        "wdir": "${item.subject}",
        "cmd": "env PYTHONPATH=../.. python ../../train.py a=1",
        "deps": ["raw", "data/crops", "../../src"],
        "outs": ["data/x"],
    }


@pytest.fixture
def measured(root):
    """Three subjects: one measured, one measured well, one failed."""
    (root / "subjects/bad/raw").mkdir(parents=True)
    (root / "subjects/bad/subject.yaml").write_text("class_name: dog\n")
    (root / "subjects/bad/log.txt").write_text(FAILED_LOG)
    for name, effect in (("dog3", 0.0), ("mug", 0.2)):
        write_run(root / "subjects" / name, effect=effect)
        (root / "subjects" / name / "log.txt").write_text(UP_TO_DATE)
    write_lock(root, **dict.fromkeys(("dog3", "mug"), 1e-4))
    return root


def write_lock(root, checkpoints="1", **rates):
    """What DVC keeps of train and evaluate of subjects with these rates."""
    locked = {}
    for name, rate in rates.items():
        outs = [{"path": "models/adapter", "md5": "1"}]
        # a digest of comments, too, is no setting
        locked[f"train@{name}"] = {"params": {"params.yaml": {"lr": rate, "configs_digest": "x"}}, "outs": outs}
        deps = [{"path": "models/adapter", "md5": checkpoints}]
        locked[f"evaluate@{name}"] = {"params": {"params.yaml": {"prior.weight": 0.0}}, "deps": deps}
    (root / "subjects/dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": locked}))


def test_the_table_has_means_over_subjects_and_says_which_failed_and_why(measured, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        command(monkeypatch, measured, "--table")
    assert stop.value.code == 1
    told = capsys.readouterr().out
    assert "2 subjects were measured, 1 failed" in told
    assert "- bad: convert: 1 of 1 photos in data/raw cannot be used: IMG_1.HEIC: cut off" in told
    table = pd.read_csv(measured / "subjects/table.csv")
    runs = table[(table["variant"] == "run") & table["reason"].isna()].set_index("subject")["dino"]
    assert runs["mug"] - runs["dog3"] == pytest.approx(0.2, abs=2e-3)
    [row] = [line for line in told.splitlines() if line.startswith("| mean over subjects")]
    assert f"{runs.mean():.3f} ± " in row
    assert " of 2" not in row
    page = (measured / "subjects/report.html").read_text()
    assert 'href="mug/metrics/report.html"' in page
    assert "IMG_1.HEIC: cut off" in page


def test_a_subject_without_a_log_or_without_scores_is_not_counted(measured, monkeypatch, capsys):
    (measured / "subjects/bad/log.txt").unlink()
    (measured / "subjects/mug/metrics/scores.csv").unlink()
    told = table_of(monkeypatch, measured, capsys)
    assert "- bad: not run yet" in told
    assert "mug/metrics/scores.csv: no such file" in told


def table_of(monkeypatch, root, capsys):
    with pytest.raises(SystemExit):
        command(monkeypatch, root, "--table")
    return capsys.readouterr().out


def test_a_clone_has_no_logs_and_the_table_nevertheless(measured, monkeypatch, capsys):
    for log in measured.glob("subjects/*/log.txt"):
        log.unlink()
    assert "2 subjects were measured, 1 failed" in table_of(monkeypatch, measured, capsys)


def test_scores_of_other_settings_or_of_another_training_are_not_counted(measured, monkeypatch, capsys):
    write_lock(measured, dog3=3e-4, mug=1e-4)
    told = table_of(monkeypatch, measured, capsys)
    assert "1 subjects were measured, 2 failed" in told
    assert "- dog3: its scores are of another setting (lr): run it" in told
    write_lock(measured, checkpoints="0", dog3=1e-4)
    told = table_of(monkeypatch, measured, capsys)
    assert "- dog3: evaluate has not read the models/adapter that is here now: run it" in told
    assert "- mug: subjects/dvc.lock knows no evaluate of mug: run it" in told
    (measured / "subjects/dvc.lock").write_text("")
    with pytest.raises(SystemExit):
        command(monkeypatch, measured, "--table")
    assert "subjects/dvc.lock is empty or cut" in capsys.readouterr().err


CRASHED_LOG = """Running stage 'subjects/dvc.yaml:train@dog3':
train: 30 of 100, 2.00 steps/s, 00:35 left
Traceback (most recent call last):
  File "x.py", line 1, in <module>
RuntimeError: out of memory
ERROR: failed to reproduce 'subjects/dvc.yaml:train@dog3': failed to run: env PYTHONPATH=../.. python
subjects: dvc ended with status 255
"""


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("Running stage 'subjects/dvc.yaml:train@dog3':\n", "its last run was cut off: run it again"),
        (f"Running stage\n{ending(-9)}", "dvc ended with status -9, see subjects/dog3/log.txt"),
        (f"ERROR: no lock\n{ending(255)}", "ERROR: no lock"),
        (CRASHED_LOG, "train: RuntimeError: out of memory"),
    ],
)
def test_a_run_that_was_killed_or_crashed_is_never_called_fine(measured, monkeypatch, capsys, log, reason):
    (measured / "subjects/dog3/log.txt").write_text(log)
    assert f"- dog3: {reason}\n" in table_of(monkeypatch, measured, capsys)


@pytest.mark.parametrize(
    ("code", "status"), [("print('said')", 0), ("import os; print(1); os.kill(os.getpid(), 9)", -9)]
)
def test_a_log_says_how_its_run_ended(root, monkeypatch, code, status):
    monkeypatch.chdir(root)
    fake = root / "dvc.py"
    fake.write_text(code)
    dog, _ = find_subjects(root)
    assert run_subject(dog, "crop", root) == status
    assert (dog.folder / "log.txt").read_text().endswith(ending(status))


def test_what_a_stage_needs_runs_before_it_and_the_last_one_takes_all():
    assert stages_until("convert", ROOT) == ["config", "convert"]
    assert stages_until("class_images", ROOT) == ["config", "class_images"]
    assert stages_until("train", ROOT) == [
        *("config", "check", "convert", "crop", "caption", "split", "class_images", "train")
    ]
    every = list(stages(ROOT))
    assert stages_until("report", ROOT) == every
    for place, stage in enumerate(every):
        assert stages_until(stage, ROOT)[-1] == stage, f"dvc.yaml names {stage} before what it reads"
        assert set(stages_until(stage, ROOT)) <= set(every[: place + 1])


def test_words_that_could_not_act_are_refused(measured, monkeypatch, capsys):
    for words, message in (
        (("--table", "lr=1"), "--table runs nothing"),
        (("--table", "--until", "crop"), "--table runs nothing"),
        (("--until", "cropp"), "--until cropp: expected one of config, check, convert, crop, "),
        (("--until", "crop", "--against", "HEAD"), "--until crop makes no table, so --against could not act"),
        (("--against", "nowhere"), "--against nowhere: "),
        (("--only", "cat"), "--only cat: expected one of bad, dog3, mug"),
        (("--table", "--against", "nowhere"), "--against nowhere: "),
    ):
        with pytest.raises(SystemExit):
            command(monkeypatch, measured, *words)
        assert message in capsys.readouterr().err
