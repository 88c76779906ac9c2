import pytest

from src.commands import trials


@pytest.fixture
def without_data(monkeypatch):
    """A fresh clone has no photos yet; names of experiments follow from code and settings alone here."""
    monkeypatch.setattr(trials, "tracked_data", list)
    content = trials.project_content
    content.cache_clear()
    yield
    content.cache_clear()
