import pytest

from src.commands import trials
from tests.integration.project import ROOT


@pytest.fixture
def without_data(monkeypatch):
    """A fresh clone has no photos yet; names of experiments follow from code and settings alone here."""
    monkeypatch.setattr(trials, "tracked_data", list)
    content = trials.project_content
    content.cache_clear()
    yield
    content.cache_clear()


@pytest.fixture
def root(tmp_path):
    """A project with two subjects."""
    (tmp_path / "models/tabletop").mkdir(parents=True)
    (tmp_path / "models/adapter").mkdir()
    (tmp_path / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    for name, words in (("dog3", "class_name: dog\nsubject: dog\ntoken: ohwx\n"), ("mug", "class_name: mug\n")):
        (tmp_path / "subjects" / name / "raw").mkdir(parents=True)
        (tmp_path / "subjects" / name / "subject.yaml").write_text(words)
    return tmp_path
