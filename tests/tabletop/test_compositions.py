import numpy as np

from src.tabletop.compositions import NAME, plan_composition, render_compositions
from src.tabletop.marks import Pattern
from src.tabletop.subject import CATALOGUE
from src.tabletop.toys import CLASSES


def test_a_seed_is_a_toy_and_seeds_differ():
    assert plan_composition(5) == plan_composition(5)
    assert len({plan_composition(seed).parts for seed in range(20)}) == 20


def test_compositions_hold_every_pattern_and_the_classes_and_never_the_subject():
    planned = [plan_composition(seed) for seed in range(300)]
    found = {part.marks.pattern for one in planned for part in one.parts if part.marks is not None}
    assert found == set(Pattern)
    centres = [tuple(part.centre for part in one.parts) for one in planned]
    classes = {name for name, parts in CLASSES.items() if tuple(part.centre for part in parts) in centres}
    assert classes == set(CLASSES)
    subject = {part.centre for parts in CATALOGUE.values() for part in parts}
    assert not any(subject & set(one) for one in centres)
    assert all(one.scene.toy.name == NAME for one in planned)


def test_pictures_are_rendered_once_and_are_functions_of_the_seed(tmp_path):
    render_compositions(tmp_path / "a", tmp_path / "cache", 3, 16, 1, 7)
    shards = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").iterdir()}
    render_compositions(tmp_path / "b", tmp_path / "cache", 3, 16, 1, 7)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").iterdir()} == shards
    first = np.load(tmp_path / "a/images.npy")
    assert first.shape == (3, 16, 16, 3)
    assert np.array_equal(first, np.load(tmp_path / "b/images.npy"))
    render_compositions(tmp_path / "c", tmp_path / "other", 3, 16, 1, 8)
    assert not np.array_equal(first, np.load(tmp_path / "c/images.npy"))
