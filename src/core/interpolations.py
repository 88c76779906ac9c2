"""Resolves interpolations, and ties the values of a resolved dump together again, as configs/ ties them."""

from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.core.config_errors import describe_key
from src.core.errors import ConfigError
from src.core.quoting import at_home, escaped


def resolve(config: DictConfig) -> None:
    """Resolves every interpolation in place.

    Args:
        config: Composed from configs/ alone.

    Raises:
        ConfigError: One names a key that is not there.
    """
    try:
        OmegaConf.resolve(config)
    except OmegaConfBaseException as error:
        raise ConfigError(describe_key(error)) from error


def resolved(config: DictConfig) -> DictConfig:
    """Resolves every interpolation once: a `${` that a person typed as text stays text, also where another key uses it.

    Args:
        config: Composed, with texts of the command line in it.

    Returns:
        The values, in struct mode; ``~/`` at the start of a path is the home folder.

    Raises:
        ConfigError: An interpolation names a key that is not there.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(describe_key(error)) from error
    literal = OmegaConf.create(escaped(at_home(plain)))
    assert isinstance(literal, DictConfig), "a DictConfig holds a mapping"
    OmegaConf.set_struct(literal, True)
    return literal


def keep_interpolations(composed: DictConfig, dump: DictConfig) -> DictConfig:
    """Gives a resolved dump its interpolations back, so that a later ``lr=...`` still reaches ``optimizer.lr``.

    Args:
        composed: configs/, with interpolations.
        dump: The same tree resolved, perhaps with other values.

    Returns:
        The dump, where an interpolation of `composed` stands wherever it yields the dump's value.
    """
    result = DictConfig(_plain(dump))
    for key in _interpolated_keys(composed):
        parent, _, leaf = key.rpartition(".")
        node = OmegaConf.select(result, parent) if parent else result
        if not isinstance(node, DictConfig) or leaf not in node:
            continue
        value = node[leaf]
        source = OmegaConf.select(composed, parent) if parent else composed
        node[leaf] = _plain(source)[leaf]
        try:
            agrees = node[leaf] == value
        except OmegaConfBaseException:  # the other choice of a group has no such target
            agrees = False
        if not agrees:
            node[leaf] = value
    return result


def _interpolated_keys(node: DictConfig, prefix: str = "") -> list[str]:
    keys = []
    for name in map(str, node):
        if OmegaConf.is_interpolation(node, name):
            keys.append(f"{prefix}{name}")
        elif OmegaConf.is_dict(node._get_node(name)):
            keys += _interpolated_keys(node[name], f"{prefix}{name}.")
    return keys


def _plain(config: DictConfig) -> dict[str, Any]:
    content = OmegaConf.to_container(config)
    assert isinstance(content, dict), "a DictConfig holds a mapping"
    return {str(key): value for key, value in content.items()}
