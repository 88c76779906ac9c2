"""Resolves interpolations, and ties the values of a resolved dump together again, as configs/ ties them."""

from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.core.config_errors import describe_key
from src.core.errors import ConfigError
from src.core.quoting import at_home, escaped
from src.core.settings import Settings
from src.core.targets import check_targets
from src.core.typed import check_numbers, typed


def resolve(config: DictConfig) -> None:
    """Resolves every interpolation in place.

    Args:
        config: Composed from configs/ alone.

    Raises:
        ConfigError: One names a key that is not there, or the base model has no such memory preset.
    """
    _check_preset(config)
    try:
        OmegaConf.resolve(config)
    except OmegaConfBaseException as error:
        raise ConfigError(describe_key(error)) from error


def resolved(config: DictConfig, types: type) -> DictConfig:
    """Resolves every interpolation once: a `${` that a person typed as text stays text, also where another key uses it.

    Args:
        config: Composed, with texts of the command line in it.
        types: The dataclass that the values fit.

    Returns:
        The values, in struct mode; ``~/`` at the start of a path is the home folder.

    Raises:
        ConfigError: An interpolation names a key that is not there, the base model has no such memory preset, a key is
            missing, or a value has another type, is
            a number that is not finite or has over 64 bits, or names a `_target_` that is not allowed.
    """
    _check_preset(config)
    try:
        values = at_home(OmegaConf.to_container(config, resolve=True))
    except OmegaConfBaseException as error:
        raise ConfigError(describe_key(error)) from error
    check_targets(values)
    check_numbers(values)
    result = typed(types, escaped(values))
    if missing := OmegaConf.missing_keys(result):
        raise ConfigError(f"missing keys: {', '.join(sorted(missing))}")
    OmegaConf.set_struct(result, True)
    return result


def keep_interpolations(composed: DictConfig, dump: DictConfig, where: str) -> DictConfig:
    """Gives a resolved dump its interpolations back, so that a later ``lr=...`` still reaches ``optimizer.lr``.

    Args:
        composed: configs/, with interpolations.
        dump: The same tree resolved, perhaps with other values.
        where: The dump's file, for messages.

    Returns:
        The dump in struct mode, where an interpolation of `composed` stands wherever it yields the dump's value.

    Raises:
        ConfigError: The dump has an unknown key, or a value of another type.
    """
    result = typed(Settings, _plain(dump), where)
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
    OmegaConf.set_struct(result, True)
    return result


def _check_preset(config: DictConfig) -> None:
    """Says which memory presets a base model has, before an interpolation names the keys of one that it lacks."""
    card, presets = OmegaConf.select(config, "memory.card_gb"), OmegaConf.select(config, "memory.presets")
    if card is None or f"gb{card}" in (presets or ()):
        return
    names = ", ".join(f"memory={name}" for name in presets or ())
    raise ConfigError(
        f"memory.card_gb={card}: model={config.model.name} has "
        + (f"no such memory preset: expected one of {names}, memory=none" if names else "no memory presets")
    )


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
