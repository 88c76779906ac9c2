"""Stages as commands: overrides, Hydra's flags, one line for a person's error.

`--help` and `--cfg job` show what would run; `--multirun`, `--info`, `--hydra-help` and shell completion are Hydra's
own, so that any of its launchers and sweepers runs a stage over many settings.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from src.core import layout
from src.core.choices import groups
from src.core.config import load_settings, load_stage_params, quote_overrides
from src.core.config_errors import one_line
from src.core.digest import CONFIGS
from src.core.errors import ConfigError
from src.core.files import sha256_bytes
from src.core.processes import is_first, refuse_several
from src.core.quoting import escaped
from src.core.running import end_with_dvc, held_output
from src.core.typed import plain

# what shells return for a command that Ctrl-C ended
INTERRUPTED = 130
MAX_NAME_CHARS = 120
# Hydra would write logs and configurations beside every run; its own folders hold nothing else
QUIET = ("hydra/job_logging=none", "hydra/hydra_logging=none", "hydra.output_subdir=null")


@dataclass(frozen=True)
class Stage:
    """A stage as a command.

    Attributes:
        name: Of dvc.yaml.
        body: Takes the stage's parameters; what it returns is what an optimising sweeper minimises.
        load: Makes them from the stage's name and overrides: an object of a settings class.
        keys: Loads all that can be set, where that is not configs/.
        writes: The stage's output, which no other process may write meanwhile; None where `body` sees to that.
        in_run_dir: Whether that lies in exp.run_dir.
        several: Whether several processes may share it; where not, a launcher's are refused.
    """

    name: str
    body: Callable[[Any], object]
    load: Callable[[str, Sequence[str]], Any] = load_stage_params
    keys: Callable[[Sequence[str]], Any] | None = None
    writes: Path | None = None
    in_run_dir: bool = False
    several: bool = False

    def main(self) -> None:
        """Runs as the command line says; a user's error becomes one message and exit status 1.

        Raises:
            SystemExit: The user asked for help, made an error, or pressed Ctrl-C.
        """
        flags, overrides = split_flags(sys.argv[1:])
        try:
            with one_line(self.name, "; outputs are as before"):
                if flags.help or flags.cfg == "job":
                    show(self, flags, overrides)
                elif flags.hydra:
                    run_hydra(self, flags.hydra, overrides)
                else:
                    end_with_dvc(self.name)
                    self.run(overrides)
        except KeyboardInterrupt as error:
            print(f"{self.name}: interrupted; outputs are as before, the same command goes on", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from error

    def run(self, overrides: Sequence[str]) -> object:
        """Runs once."""
        if not self.several:
            refuse_several(self.name, os.environ)
        params = self.load(self.name, overrides)
        if self.writes is None or not is_first(os.environ):
            return self.body(params)
        with held_output(Path(params.exp.run_dir if self.in_run_dir else "") / self.writes):
            return self.body(params)

    def run_job(self, _config: DictConfig) -> object:
        """Runs one job of Hydra's, with the overrides that the sweeper made."""
        settings = HydraConfig.get()
        overrides = list(settings.overrides.task)
        if not any(word.lstrip("+").startswith("exp.run_dir=") for word in overrides):
            run_dir = layout.MULTIRUN / job_name(overrides)
            overrides.append(f"exp.run_dir='{run_dir}'")
            print(f"{' '.join(settings.overrides.task)}: {run_dir}", flush=True)
        with one_line(self.name, "; outputs are as before"):
            return self.run(overrides)


def split_flags(words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Splits a command line into flags, which are Hydra's, and overrides.

    Args:
        words: For example ``["--multirun", "lr=1e-4,3e-4"]``.

    Returns:
        ``help``, ``cfg``, ``package`` and, under ``hydra``, the flags that are handed on; and the overrides.
    """
    parser = argparse.ArgumentParser(add_help=False, prefix_chars="-", usage="[flags] [key=value ...]")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("-c", "--cfg", choices=("job", "hydra", "all"))
    parser.add_argument("-p", "--package")
    parser.add_argument("--resolve", action="store_true")
    for names in (("-m", "--multirun"), ("-sc", "--shell-completion"), ("--hydra-help",)):
        parser.add_argument(*names, dest="hydra", action="append_const", const=names[-1])
    parser.add_argument(
        "-i",
        "--info",
        nargs="?",
        const="all",
        choices=("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
    )
    flags, overrides = parser.parse_known_args(words)
    if unknown := [word for word in overrides if word.startswith("-")]:
        parser.error(f"unknown flag: {unknown[0]}")
    handed = list(flags.hydra or [])
    handed += [f"--info={flags.info}"] if flags.info else []
    if flags.cfg in ("hydra", "all"):
        handed += [f"--cfg={flags.cfg}", *([f"--package={flags.package}"] if flags.package else [])]
    flags.hydra = handed
    return flags, overrides


def show(command: Stage, flags: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Prints what would run with these overrides: every key that can be set, or what the stage is given.

    Args:
        command: What would run.
        flags: Of `split_flags`.
        overrides: As of a run.

    Raises:
        ConfigError: An override is wrong, or `--package` names no key.
    """
    if flags.help:
        print(f"usage: {command.name} [--multirun] [--cfg job] [--info] [key=value ...]\n")
        print("Every key, with the value that these overrides give it:\n")
        print(OmegaConf.to_yaml(_readable((command.keys or load_settings)(overrides))))
        return
    shown = _readable(command.load(command.name, overrides))
    if flags.package is not None:
        shown = OmegaConf.select(shown, flags.package)
        if shown is None:
            raise ConfigError(f"--package {flags.package}: no such key")
    print(OmegaConf.to_yaml(shown) if OmegaConf.is_config(shown) else shown)


def _readable(settings: Any) -> DictConfig:
    return OmegaConf.create(escaped(plain(settings)))


def run_hydra(command: Stage, flags: Sequence[str], overrides: Sequence[str]) -> None:
    """Hands a command line to Hydra, whose launcher and sweeper call the stage.

    Args:
        command: The stage.
        flags: Of Hydra.
        overrides: As a person types them; a sweep's values stand between commas.
    """
    if command.keys is None:
        where, name, words = str(CONFIGS), "config", quote_swept(overrides)
    else:
        # what is not composed from configs/ is what the file of exp.config_path says
        name = f"{command.name}_file"
        fixed = [word for word in overrides if word.startswith("exp.config_path=")]
        ConfigStore.instance().store(name, node=_readable(command.keys(fixed)))
        where, words = None, list(overrides)
    settings = (
        QUIET
        if any(word.startswith("hydra.sweep.dir=") for word in words)
        else (*QUIET, f"hydra.sweep.dir={layout.SWEEPS}")
    )
    sys.argv = [sys.argv[0], *flags, *words, *(settings if "--multirun" in flags else ())]
    hydra.main(config_path=where, config_name=name, version_base=None)(command.run_job)()


def quote_swept(words: Sequence[str]) -> list[str]:
    """Quotes texts, as `quote_overrides` does, among overrides of which some choose several files of a group."""
    chosen = {word for word in words if word.partition("=")[0] in groups() and not word.endswith("]")}
    quoted = quote_overrides([word.split(",")[0] if word in chosen else word for word in words])
    return [word if word in chosen else text for word, text in zip(words, quoted, strict=True)]


def job_name(overrides: Sequence[str]) -> str:
    """Returns a folder's name for a job: what it sets, with a hash where that is long or no plain name."""
    text = ",".join(word for word in overrides if not word.startswith("exp."))
    name = re.sub(r"[^\w.=,+-]+", "-", text)
    return (
        name
        if name == text and len(name) <= MAX_NAME_CHARS
        else f"{name[:MAX_NAME_CHARS]}-{sha256_bytes(text.encode())[:8]}"
    )
