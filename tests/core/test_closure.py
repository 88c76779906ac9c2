"""What counts as the code of a result: every module that it imports, and nothing else."""

import shutil

import grimp
import pytest

from src.core import closure as own
from src.core.closure import ROOT, closure, digest, distributions, imported, module_digest, module_file
from src.core.provenance import code_digest


@pytest.fixture
def other_root(tmp_path, monkeypatch):
    """A project of three modules: a imports b inside a function; c imports both for type checkers alone."""
    forget()
    monkeypatch.setattr(own, "ROOT", tmp_path)
    (tmp_path / "src/templates").mkdir(parents=True)
    (tmp_path / "src/trackers").mkdir()
    (tmp_path / "src/templates/page.html").write_text("<p>")
    write(tmp_path, "a", "def f():\n    from src.b import g\n    return g() + 1\n")
    write(
        tmp_path,
        "b",
        "import numpy as np\nfrom src.trackers import t\n\nTEMPLATES = 'templates'\n\ndef g(): return 1\n",
    )
    write(tmp_path, "c", "if TYPE_CHECKING:\n    from src.a import f\nelse:\n    import torch\n")
    write(tmp_path, "trackers/t", "x = 1\n")
    yield tmp_path
    forget()


def write(root, name, text, mode="w"):
    with (root / "src" / f"{name}.py").open(mode) as file:
        file.write(text)
    forget()


def forget():
    for cached in (own.module_file, own._tree, own.imported, own.module_digest):
        cached.cache_clear()


def test_imports_inside_functions_count_and_those_of_type_checkers_and_trackers_do_not(other_root):
    assert closure(["src.a"]) == ["src.a", "src.b"]
    assert closure(["src.a"], without=["src.b"]) == ["src.a"]
    assert closure(["src.c"]) == ["src.c"]
    assert imported("src.c") == (frozenset(), frozenset({"torch"}))
    write(
        other_root, "c", "import typing\n\nif typing.TYPE_CHECKING:\n    from src.a import f\nelse:\n    import torch\n"
    )
    assert imported("src.c") == (frozenset(), frozenset({"torch"}))
    assert [name.split("==")[0] for name in distributions(["src.a", "src.b"])] == ["numpy"]


@pytest.mark.parametrize(
    "text",
    [
        "# why\ndef f():\n    from src.b import g  # from b\n    return g() + 1\n",
        '"""A module."""\ndef f():\n    """Adds."""\n    from src.b import g\n    return (g()\n            + 1)\n',
    ],
)
def test_comments_docstrings_and_layout_do_not_count(other_root, text):
    before = module_digest("src.a")
    write(other_root, "a", text)
    assert module_digest("src.a") == before


def test_an_operator_a_number_and_a_file_that_is_named_count(other_root):
    seen = {digest(closure(["src.a"]))}
    for name, text in (("a", "from src.b import g\n"), ("a", "from src.b import g\nx = 1 + 1\n"), ("b", "x = 1 - 1\n")):
        write(other_root, name, text)
        seen.add(digest(closure(["src.a"])))
    write(other_root, "b", "TEMPLATES = 'templates'\n")
    seen.add(digest(closure(["src.a"])))
    (other_root / "src/templates/page.html").write_text("<b>")
    write(other_root, "c", "x = 1\n")
    seen.add(digest(closure(["src.a"])))
    assert len(seen) == 6


def test_a_module_is_a_file_or_a_package_of_the_project_and_nothing_else(other_root):
    (other_root / "src/trackers/__init__.py").touch()
    forget()
    assert module_file("src.a") == other_root / "src/a.py"
    assert module_file("src.trackers") == other_root / "src/trackers/__init__.py"
    assert [module_file(name) for name in ("src.a.f", "src.templates", "numpy")] == [None] * 3


def test_packages_that_code_uses_count_by_their_versions(monkeypatch):
    before = code_digest("src.models.latents")
    monkeypatch.setattr(own, "version", lambda package: "2.0" if package == "diffusers" else "1.0")
    after = code_digest("src.models.latents")
    monkeypatch.setattr(own, "version", lambda _: "1.0")
    assert len({before, after, code_digest("src.models.latents")}) == 3


STAGES = [
    f"src.stages.{name}" for name in ("convert", "caption", "class_images", "train", "choose", "generate", "evaluate")
]


@pytest.fixture(scope="module")
def before():
    forget()
    return {stage: digest(closure([stage])) for stage in STAGES}


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("src", exclude_type_checking_imports=True, cache_dir=None)


def test_imports_are_those_that_an_independent_reader_finds(graph):
    for module in sorted(graph.modules):
        both = imported(module)[0], graph.find_modules_directly_imported_by(module)
        mine, theirs = ({name for name in names if module_file(name).name != "__init__.py"} for names in both)
        assert mine == theirs, module


@pytest.mark.parametrize(
    "module",
    ["src.core.seeding", "src.stages.sampling_setup", "src.training.determinism", "src.losses.diffusion"],
)
def test_an_edit_reaches_exactly_the_stages_that_import_it(graph, before, tmp_path, monkeypatch, module):
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(own, "ROOT", tmp_path)
    write(tmp_path, module.removeprefix("src.").replace(".", "/"), "EDITED = 1 - 1\n", "a")
    changed = {stage for stage in STAGES if digest(closure([stage])) != before[stage]}
    forget()
    assert changed == {stage for stage in STAGES if graph.chain_exists(stage, module)}
    assert changed
