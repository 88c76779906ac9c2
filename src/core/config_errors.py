"""Says in one line what Hydra, OmegaConf and YAML say in many: the key or file, what was found, what was expected."""

import errno
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, GrammarParseError, OmegaConfBaseException

from src.core.errors import ConfigError, PipelineError
from src.core.records import read_bounded

# OmegaConf's own functions: `${oc.env:SECRET}` would carry a variable into whatever is written down
RESOLVERS = re.compile(r"(?<!\\)\$\{\s*oc\.\w+")
# of these some are a person's, see `describe`
PERSONAL = (PipelineError, InstantiationException, OSError)
# what a person can put right; anything else, such as EIO, is shown as it is
DISK_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EROFS: "the disk is read-only",
    errno.EISDIR: "a folder, expected a file",
    errno.ENOTDIR: "expected a folder, found a file in its place or on the way to it",
    errno.EEXIST: "a file, expected a folder or nothing",
    errno.ENOENT: "no such file or folder",
    errno.ENAMETOOLONG: "too long a name",
    errno.ELOOP: "symbolic links that lead in a circle",
}


def describe_disk(error: OSError) -> str | None:
    """Returns a line about what a person can put right: a path, a full disk; None if it is something else."""
    if error.errno not in DISK_ERRORS:
        return None
    return f"{DISK_ERRORS[error.errno]}: {error.filename or 'a write failed'}"


def describe(error: Exception) -> str | None:
    """Returns a line about what a person can put right; None if it is something else.

    Args:
        error: One of PERSONAL.

    Returns:
        The line.
    """
    if isinstance(error, OSError):
        return describe_disk(error)
    return str(user_error(error))


@contextmanager
def one_line(name: str, afterwards: str = "") -> Iterator[None]:
    """Turns a user's error into one message and an exit status, that of the error or 1.

    Args:
        name: The command, with which the message begins.
        afterwards: What to say after an error of the disk.

    Raises:
        SystemExit: The block raised such an error.
    """
    try:
        yield
    except (PipelineError, InstantiationException) as error:
        print(f"{name}: {user_error(error)}", file=sys.stderr)
        raise SystemExit(error.exit_status if isinstance(error, PipelineError) else 1) from error
    except OSError as error:
        problem = describe_disk(error)
        if problem is None:
            raise
        print(f"{name}: {problem}{afterwards}", file=sys.stderr)
        raise SystemExit(1) from error


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
    if first.startswith("Error merging override "):
        word = first.removeprefix("Error merging override ")
        return f"override {word}: expected a value of the kind that configs/ has (--help shows it)"
    if first.startswith("Could not override"):
        return f"{first.rstrip('.')}: no such key in configs/ (--help lists all)"
    return first


def describe_key(error: OmegaConfBaseException) -> str:
    """Returns the full key that OmegaConf refuses and why."""
    reason = str(error.msg or error).splitlines()[0]
    if isinstance(error, ConfigAttributeError | ConfigKeyError):
        return f"unknown key {error.full_key}: no such key in configs/ (--help lists all)"
    if reason.endswith("is not Optional"):
        reason = "null, expected a value"
    elif reason == "Cannot merge DictConfig with ListConfig":
        reason = "a list and a mapping cannot stand for each other"
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
    except GrammarParseError as error:
        reason, *where = str(error).splitlines()
        key = where[0].strip().removeprefix("full_key: ") if where else ""
        raise ConfigError(
            f"{path}: {key}: not a reference to another key, which is all that ${{...}} can be: {reason}"
        ) from error
    except (yaml.YAMLError, ValueError, OSError) as error:  # no UTF-8, or a number of thousands of digits
        raise ConfigError(f"{path}: not a YAML file: {str(error).splitlines()[0]}") from error
    if not isinstance(content, DictConfig) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"{path}: expected a mapping of keys to values")
    if found := RESOLVERS.search(path.read_text(encoding="utf-8-sig")):
        raise ConfigError(f"{path}: {found[0]}...: a file may refer to other keys, not to the environment")
    return content


def load_plain(path: Path) -> dict[str, Any]:
    """Reads a mapping from a YAML file as it is written: what looks like an interpolation stays a text.

    Args:
        path: An existing file.

    Returns:
        Its content; errors as of `load_yaml`.
    """
    plain: Any = OmegaConf.to_container(load_yaml(path), resolve=False)
    return {str(key): value for key, value in plain.items()}
