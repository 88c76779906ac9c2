"""Says in one line what Hydra, OmegaConf and YAML say in many: the key or file, what was found, what was expected."""

import errno
import re
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.core.errors import ConfigError, PipelineError
from src.core.records import read_bounded

# OmegaConf's own functions: `${oc.env:SECRET}` would carry a variable into whatever is written down
RESOLVERS = re.compile(r"(?<!\\)\$\{\s*oc\.\w+")
UNWRITABLE = {
    errno.ENOSPC: "the disk is full",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EROFS: "the disk is read-only",
}


def describe_unwritable(error: OSError) -> str | None:
    """Returns a line about a disk that takes no more or a folder that is closed; None if it is something else."""
    if error.errno not in UNWRITABLE:
        return None
    return f"{UNWRITABLE[error.errno]}: {error.filename or 'a write failed'}"


def describe_composition(error: HydraException) -> str:
    """Returns a line about an override or a choice that cannot be composed.

    Args:
        error: What Hydra raised.

    Returns:
        The key or choice, and what was expected.
    """
    if isinstance(error, OverrideParseException):
        return f"override {error.override!r}: {error.message.splitlines()[0]}; expected key=value"
    if isinstance(error, MissingConfigException) and error.options:
        return f"{error.missing_cfg_file}: no such choice, expected one of {', '.join(sorted(error.options))}"
    first = str(error).strip().splitlines()[0]
    if first.startswith("Could not override"):
        return f"{first.rstrip('.')}: no such key in configs/ (--help lists all)"
    return first


def describe_key(error: OmegaConfBaseException) -> str:
    """Returns the full key that OmegaConf refuses and why."""
    reason = str(error.msg or error).splitlines()[0]
    if "is not in struct" in reason:
        return f"unknown key {error.full_key}: no such key in configs/ (--help lists all)"
    return f"{error.full_key}: {reason}" if error.full_key else reason


def user_error(error: Exception) -> PipelineError:
    """Returns the user's error itself, or the one behind an object that Hydra could not build.

    Args:
        error: A PipelineError, or what Hydra raised.

    Returns:
        The user's error; where the cause is none of ours, one that holds the key and the cause in one line.
    """
    if isinstance(error, PipelineError):
        return error
    if isinstance(error.__cause__, PipelineError):
        return error.__cause__
    *lines, key = str(error).strip().splitlines()
    reason = " ".join(lines).split(", set env var HYDRA_FULL_ERROR")[0]
    return ConfigError(f"{key.removeprefix('full_key: ')}: {reason}")


def load_yaml(path: Path) -> DictConfig:
    """Reads a mapping from a YAML file.

    Args:
        path: An existing file.

    Returns:
        Its content, interpolations unresolved.

    Raises:
        ConfigError: It is no YAML, too large, has aliases, reads variables of the environment, or is no mapping of
            names to values.
    """
    try:
        read_bounded(path)
        content = OmegaConf.load(path)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: not a YAML file: {str(error).splitlines()[0]}") from error
    if not isinstance(content, DictConfig) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"{path}: expected a mapping of keys to values")
    if found := RESOLVERS.search(path.read_text(encoding="utf-8-sig")):
        raise ConfigError(f"{path}: {found[0]}...: a file may refer to other keys, not to the environment")
    return content


def type_errors(default: Any, value: Any, key: str) -> list[str]:
    """Compares a value with its default.

    Args:
        default: Plain values; what is below another `_target_` is not compared.
        value: Plain values.
        key: Where they are, dotted.

    Returns:
        A message for each value of another type.
    """
    if isinstance(default, dict) and isinstance(value, dict):
        if default.get("_target_") != value.get("_target_"):
            return []
        return [
            message
            for name in default.keys() & value.keys()
            for message in type_errors(default[name], value[name], f"{key}.{name}" if key else name)
        ]
    if default and isinstance(default, list) and isinstance(value, list):
        return [message for i, item in enumerate(value) for message in type_errors(default[0], item, f"{key}[{i}]")]
    if default is None or type(value) is type(default):
        return []
    if value is None:
        return [f"{key} is null, expected {type(default).__name__}"]
    if isinstance(default, float) and type(value) is int:
        return []
    return [f"{key}={value!r} is {type(value).__name__}, expected {type(default).__name__}"]
