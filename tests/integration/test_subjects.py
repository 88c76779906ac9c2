"""Several subjects by DVC: one that cannot be used, and one more."""

import json
import os
import shutil

import pytest

from tests.integration.project import hashes, made_once, make_project, run
from tests.tiny.models import PLACE

COMMAND = ("python", "-m", "src.commands.subjects", "--until", "convert")


def add(project, name, photos):
    raw = project / "subjects" / name / "raw"
    raw.mkdir(parents=True)
    for photo in photos:
        shutil.copy(photo, raw)
    (raw.parent / "subject.yaml").write_text("class_name: bear\n")


def project_of(shared, tmp_path, subjects):
    """A project with subjects, each with a slice of its photos."""
    project = tmp_path / "p"
    shutil.copytree(made_once(shared, "clean", make_project), project, symlinks=True)
    photos = sorted((project / "data/raw").glob("*.HEIC"))
    for name, some in subjects.items():
        add(project, name, photos[some])
    return project


def add_damaged(project, name):
    """A subject whose one photo is cut off."""
    add(project, name, [])
    [photo, *_] = sorted((project / "data/raw").glob("*.HEIC"))
    (project / "subjects" / name / "raw/IMG_1.HEIC").write_bytes(photo.read_bytes()[:2000])


@pytest.mark.slow
def test_a_subject_that_fails_stops_no_other_and_a_new_one_runs_alone(shared, tmp_path):
    project = project_of(shared, tmp_path, {"all": slice(None), "few": slice(3)})
    add_damaged(project, "bad")
    ended = run(project, *COMMAND, check=False)
    assert ended.returncode == 1
    [reason] = [line for line in ended.stdout.splitlines() if line.startswith("bad: ")]
    assert reason.startswith("bad: convert: ")
    assert "IMG_1.HEIC" in reason
    assert not (project / "subjects/table.csv").exists(), "nothing was measured"
    assert ended.stdout.count("Running stage 'subjects/dvc.yaml:convert@") == 3
    run(project, "dvc", "repro", "-q", "convert")
    assert hashes(project / "subjects/all/data/images") == hashes(project / "data/images")
    assert len(list((project / "subjects/few/data/images").glob("*.png"))) == 3
    assert not (project / "subjects/bad/data/images").exists()

    shutil.rmtree(project / "subjects/bad")
    add(project, "new", sorted((project / "data/raw").glob("*.HEIC"))[3:5])
    again = run(project, *COMMAND, check=False).stdout
    ran = [line for line in again.splitlines() if line.startswith("Running stage")]
    assert "Running stage 'subjects/dvc.yaml:convert@new':" in ran
    assert all("@new'" in line for line in ran), ran
    assert len(list((project / "subjects/new/data/images").glob("*.png"))) == 2


@pytest.mark.slow
def test_subjects_read_the_same_models_at_once(shared, tmp_path):
    project = project_of(shared, tmp_path, {"few": slice(2)})
    # as `dvc repro` of another subject leaves it while a stage of that reads the models
    reader = {"pid": os.getpid(), "cmd": "dvc repro"}
    lock = project / ".dvc/tmp/rwlock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(json.dumps({"read": {str(project / PLACE): [reader]}, "write": {}}))
    run(project, *COMMAND[:3], "--until", "class_images")
    assert (project / "subjects/few/data/class_images/note.txt").is_file()
    busy = run(project, "dvc", "repro", "subjects/dvc.yaml:class_images@few", check=False)
    assert "is busy" in busy.stdout, "that is what DVC says of the models otherwise"
