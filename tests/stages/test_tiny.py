import sys

import pytest

from src.core import layout
from src.stages import tiny
from src.stages.tiny import main


@pytest.mark.parametrize("choice", ["model=tabletop", "model=sd15"])
def test_other_models_build_nothing_and_say_so(tmp_path, monkeypatch, choice):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tiny", choice])
    monkeypatch.setattr(tiny, "build_tiny", None)
    main()
    assert [file.name for file in (tmp_path / "models/tiny").iterdir()] == ["README.txt"]


@pytest.mark.parametrize("choice", ["model=tiny", "captioner=tiny", "judges=tiny"])
def test_a_single_part_is_enough_to_build_them(tmp_path, monkeypatch, choice):
    monkeypatch.chdir(tmp_path)
    built = []
    monkeypatch.setattr(sys, "argv", ["tiny", choice])
    monkeypatch.setattr(tiny, "build_tiny", lambda out, _: built.append(out))
    main()
    assert built == [layout.TINY]
