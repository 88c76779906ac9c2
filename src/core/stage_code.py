"""Writes which code each stage runs, where DVC sees it."""

import re
from pathlib import Path

import yaml
from omegaconf import OmegaConf

from src.core.closure import closure, module_digest
from src.core.config import DVC_FILE, declared_params, to_dict
from src.core.config_errors import load_yaml
from src.core.files import replaced_folder, write_text
from src.core.targets import target_modules


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
            plain = [to_dict(value) for value in values if OmegaConf.is_dict(value)]
            modules = closure([f"src.stages.{stage}", *target_modules(plain)])
            # the scripts at the top only choose what to run
            script = re.match(r"python (\w+)\.py ", declared["cmd"])
            modules += [script[1]] if script else []
            write_text(inside / f"{stage}.txt", "".join(f"{module_digest(name)} {name}\n" for name in modules))
