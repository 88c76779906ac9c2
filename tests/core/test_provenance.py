import os

import pytest

from src.core import provenance
from src.core.provenance import ARITHMETIC, DETERMINISTIC, arithmetic_settings, code_digest


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    for name in ARITHMETIC:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ARITHMETIC)
def test_digests_tell_arithmetic_apart(monkeypatch, name):
    before = code_digest("src.core.seeding")
    monkeypatch.setenv(name, "1")
    assert code_digest("src.core.seeding") != before


def test_the_projects_own_values_are_as_good_as_none(monkeypatch):
    before = code_digest("src.core.seeding")
    for name, value in DETERMINISTIC.items():
        monkeypatch.setenv(name, value)
    assert code_digest("src.core.seeding") == before
    assert arithmetic_settings(os.environ) == {}


def test_what_is_set_otherwise_is_said(monkeypatch, capsys):
    from src.training.determinism import set_environment

    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    for name in DETERMINISTIC:
        monkeypatch.setenv(name, DETERMINISTIC[name])
    set_environment()
    assert (
        capsys.readouterr().out
        == "ATEN_CPU_CAPABILITY=default is set: the last bits may differ from a run without it\n"
    )
    assert provenance.arithmetic_settings(os.environ) == {"ATEN_CPU_CAPABILITY": "default"}
