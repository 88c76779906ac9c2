"""Which code a result depends on, computed: the modules that are imported, and what they say.

Comments, docstrings and layout do not count; files that a module reads from its own folder do.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path

from src.core.files import sha256_bytes, sha256_file, sha256_tree

ROOT = Path(__file__).resolve().parents[2]
# Watching a run changes no result, so an edit there must not make one anew.
OBSERVERS = "src.trackers"
# tests of what a type checker alone runs
TYPE_CHECKING = ("TYPE_CHECKING", "typing.TYPE_CHECKING")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def closure(roots: Iterable[str], without: Iterable[str] = ()) -> list[str]:
    """Lists the project's modules that are imported, directly or not.

    Imports inside functions count, those for type checking alone do not.

    Args:
        roots: Modules to begin with, such as ``src.stages.train``.
        without: Modules that are not entered; the trackers never are.

    Returns:
        Sorted names, the roots among them.
    """
    left_out = (OBSERVERS, *without)
    reached: set[str] = set()
    queue = list(roots)
    while queue:
        module = queue.pop()
        if module in reached or any(module == name or module.startswith(f"{name}.") for name in left_out):
            continue
        reached.add(module)
        queue += imported(module)[0]
    return sorted(reached)


def digest(modules: Iterable[str]) -> str:
    """Returns one hash over what modules say.

    Args:
        modules: Their names.

    Returns:
        64 hexadecimal digits.
    """
    return sha256_bytes("\0".join(f"{module} {module_digest(module)}" for module in sorted(modules)).encode())


def distributions(modules: Iterable[str]) -> list[str]:
    """Lists the installed packages that modules import themselves.

    Args:
        modules: Their names.

    Returns:
        Sorted, such as ``numpy==2.3.0``.
    """
    names = {name for module in modules for name in imported(module)[1]}
    found = {package for name in names for package in _providers().get(name, ())}
    return sorted(f"{package}=={version(package)}" for package in found)


@cache
def _providers() -> dict[str, list[str]]:
    return {name: list(packages) for name, packages in packages_distributions().items()}


@cache
def module_file(module: str) -> Path | None:
    """Returns where a module of the project is, None for one of somebody else and for a name in a module."""
    path = ROOT / module.replace(".", "/")
    files = path.with_suffix(".py"), path / "__init__.py"
    return next((file for file in files if file.is_file()), None)


@cache
def _tree(module: str) -> ast.Module:
    file = module_file(module)
    assert file is not None, module
    return ast.parse(file.read_bytes())


@cache
def imported(module: str) -> tuple[frozenset[str], frozenset[str]]:
    """Returns what a module imports itself: modules of the project, and names of other packages."""
    own, others = set(), set()
    for node in _statements(_tree(module)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # what is imported from a package may be a module of it
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if module_file(name) else str(node.module) for name in names]
        else:
            continue
        own |= {name for name in names if module_file(name)}
        others |= {top for name in names if not module_file(name) and (top := name.split(".")[0]) != "src"}
    return frozenset(own), frozenset(others - sys.stdlib_module_names)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Walks a tree without what only type checkers run."""
    yield node
    guarded = isinstance(node, ast.If) and ast.unparse(node.test) in TYPE_CHECKING
    children = node.orelse if isinstance(node, ast.If) and guarded else ast.iter_child_nodes(node)
    for child in children:
        yield from _statements(child)


@cache
def module_digest(module: str) -> str:
    """Returns a hash over what a module says and over the files beside it that it names."""
    file = module_file(module)
    assert file is not None, module
    tree = _tree(module)
    named = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    parts = [repr(_plain(tree))]
    for name in sorted(named & {path.name for path in file.parent.iterdir()}):
        beside = file.parent / name
        if beside.is_dir() and not (beside / "__init__.py").is_file():
            parts.append(f"{name} {sha256_tree(beside)}")
        elif beside.is_file() and beside.suffix != ".py":
            parts.append(f"{name} {sha256_file(beside)}")
    return sha256_bytes("\0".join(parts).encode())


def _plain(value: object) -> object:
    """Returns a tree as nested tuples, without places, docstrings and what is empty."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, ast.AST):
        return value
    fields = dict(ast.iter_fields(value))
    if isinstance(value, DOCUMENTED) and ast.get_docstring(value, clean=False) is not None:
        fields["body"] = value.body[1:]
    # a field that a later Python adds is empty in code of today
    kept = [(name, _plain(field)) for name, field in fields.items() if field not in (None, [])]
    return (type(value).__name__, *kept)
