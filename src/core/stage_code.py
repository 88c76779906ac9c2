"""Writes which code each stage runs, where DVC sees it."""

import re
from collections.abc import Iterable
from pathlib import Path

import yaml
from omegaconf import OmegaConf

from src.core import layout
from src.core.closure import closure, module_digest
from src.core.config import DVC_FILE, declared_params, to_dict
from src.core.config_errors import load_yaml
from src.core.files import replaced_folder, write_text
from src.core.pretraining_config import load_pretraining_config
from src.core.targets import target_modules
from src.core.typed import plain


def write_stage_code(path: Path, folder: Path) -> None:
    """Writes which code each stage runs, so that DVC runs a stage anew when that changes, and only then.

    Args:
        path: The parameter file; the classes that it names count for the stages that depend on their keys.
        folder: Gets STAGE.txt for each stage of dvc.yaml: a digest and a name in each line, without comments,
            docstrings and layout.
    """
    params = load_yaml(path)
    with replaced_folder(folder) as inside:
        for stage, declared in yaml.safe_load(DVC_FILE.read_text())["stages"].items():
            values = [OmegaConf.select(params, key) for key in declared_params(stage)]
            named = [to_dict(value) for value in values if OmegaConf.is_dict(value)]
            roots = [f"src.stages.{stage}", *target_modules(named)]
            write_text(inside / f"{stage}.txt", _list_code(roots, declared["cmd"]))


def write_tabletop_code(folder: Path) -> None:
    """Does the same for tabletop/dvc.yaml; what a training from noise runs, its file of configs/scratch names.

    Args:
        folder: Gets STAGE.txt, or STAGE-ITEM.txt, for each stage.
    """
    with replaced_folder(folder) as inside:
        for stage, command in _tabletop_commands().items():
            words = command.split()
            if words[1] == "-m":
                roots = [words[2]]
            else:
                config = plain(load_pretraining_config("pretraining", words[2:]))
                roots = ["src.stages.pretraining", *target_modules(config)]
            write_text(inside / f"{stage}.txt", _list_code(roots, command))


def _tabletop_commands() -> dict[str, str]:
    commands = {}
    for name, stage in yaml.safe_load(layout.WORLD_STAGES.read_text())["stages"].items():
        for item in stage.get("foreach", []):
            commands[f"{name}-{item}"] = stage["do"]["cmd"].replace("${item}", item)
        if "cmd" in stage:
            commands[name] = stage["cmd"]
    return commands


def _list_code(roots: Iterable[str], command: str) -> str:
    modules = closure(roots)
    # the scripts at the top only choose what to run
    script = re.match(r"python (\w+)\.py ", command)
    modules += [script[1]] if script else []
    return "".join(f"{module_digest(name)} {name}\n" for name in modules)
