"""Guards params.yaml: it must come from today's configs/. Reads configs/, params.yaml and src/, writes
data/config_ok.txt and data/code/.

`python -m src.stages.config` is the first DVC stage; `... config set model=sd15 subject=toy` keeps choices in
configs/mine.yaml and composes params.yaml anew, `... config unset [key ...]` takes them back; `... config write`
composes params.yaml after an edit of configs/; `... config check` (for a commit hook and CI) demands that params.yaml
is exactly what configs/ compose to.
"""

import sys
from pathlib import Path

from src.core import layout
from src.core.config import composed_values, to_dict
from src.core.config_errors import load_yaml, one_line
from src.core.errors import ConfigError, StaleParamsError
from src.core.files import has_file, write_text
from src.core.interpolations import resolved
from src.core.nested import flatten
from src.core.own_choices import set_choices, unset_choices
from src.core.places import places
from src.core.settings import Settings
from src.core.stage_code import write_stage_code
from src.core.typed import as_yaml

HOW_TO = "run `python -m src.stages.config write` (or `dvc exp run`, which composes it again)"
INSTEAD = "a link does not (`ln -s FOLDER models/NAME`, then the key is models/NAME)"


def write_params(path: Path) -> None:
    """Composes configs/ into a parameter file."""
    write_text(path, as_yaml(composed_values()[1]))


def guard_params(path: Path) -> list[str]:
    """Checks that a parameter file belongs to configs/; values may differ.

    Args:
        path: The parameter file.

    Returns:
        A line for each value that differs from configs/.

    Raises:
        StaleParamsError: The file was composed from other configs/.
        ConfigError: The file is missing, or has an unknown or missing key or a value of the wrong type.
    """
    if not has_file(path):
        raise ConfigError(f"{path} is missing: {HOW_TO}")
    want, have = composed_values()[1], load_yaml(path)
    if have.get("configs_digest") != want["configs_digest"]:
        raise StaleParamsError(f"{path} was composed from another configs/: {HOW_TO}")
    expected, found = flatten(want), flatten(to_dict(resolved(have, Settings)))
    return [
        f"override {key}={found[key]!r} (configs/: {expected[key]!r})"
        for key in sorted(expected.keys() & found.keys())
        if expected[key] != found[key]
    ]


def check_params(path: Path) -> None:
    """Checks that a parameter file is exactly what configs/ compose to.

    Args:
        path: The parameter file.

    Raises:
        StaleParamsError: A value differs; all of them are listed.
    """
    differing = guard_params(path)
    if differing:
        raise StaleParamsError(f"{path} differs from configs/:\n" + "\n".join(differing))


def main() -> None:
    """Runs one of guard (no argument), set, unset, write, check."""
    with one_line("config"):
        _run(*(sys.argv[1:] or ["guard"]))


def _run(action: str, *more: str) -> None:
    if more and action not in ("set", "unset"):
        raise ConfigError(f"{' '.join(more)}: to keep a choice use `python -m src.stages.config set key=value`")
    if action in ("set", "unset"):
        kept = set_choices(more) if action == "set" else unset_choices(more)
        write_params(layout.PARAMS)
        print("\n".join(["your choices (configs/mine.yaml):", *kept] if kept else ["no choices of your own"]))
        _tell_places()
    elif action == "write":
        write_params(layout.PARAMS)
        _tell_places()
    elif action == "check":
        check_params(layout.PARAMS)
    elif action == "guard":
        print("\n".join(guard_params(layout.PARAMS)))
        _tell_places()
        write_stage_code(layout.PARAMS, layout.STAGE_CODE)
        write_text(layout.CONFIG_OK, "params.yaml was composed from these configs/\n")
    else:
        raise ConfigError(f"unknown action {action!r}: expected guard, set, unset, write or check")


def _tell_places() -> None:
    for key, place in places(to_dict(load_yaml(layout.PARAMS))).items():
        print(f"config: {key}={place} goes into params.yaml and dvc.lock, and so to git: {INSTEAD}", file=sys.stderr)


if __name__ == "__main__":
    main()
