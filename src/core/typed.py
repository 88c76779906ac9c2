"""Values and their types: OmegaConf lays the first over the second and refuses what does not fit."""

import math
from collections.abc import Collection, Mapping
from dataclasses import is_dataclass
from typing import Any, TypeVar

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.core.config_errors import describe_key
from src.core.errors import ConfigError
from src.core.quoting import escaped
from src.core.seeding import SEEDS

T = TypeVar("T")
INT64 = range(-(2**63), 2**63)


def typed(types: type, values: Mapping[str, Any], where: str = "") -> DictConfig:
    """Gives values the types of a dataclass.

    Args:
        types: A class of `src.core.settings`.
        values: Plain; interpolations stay.
        where: What a message begins with.

    Returns:
        The values, keys in the order of the dataclass; those that are missing are `MISSING`.

    Raises:
        ConfigError: A key is unknown, or a value has another type.
    """
    config = OmegaConf.structured(types)
    lay_over(config, values, where)
    _refuse_nested(config, where)
    return config


def lay_over(config: DictConfig, values: Mapping[str, Any], where: str = "") -> None:
    """Lays values over others in place, mapping by mapping.

    Args:
        config: Typed; in struct mode no mapping takes new keys.
        values: Plain; interpolations stay.
        where: What a message begins with.

    Raises:
        ConfigError: A key is unknown, or a value has another type.
    """
    try:
        for key, value in values.items():
            # one by one: OmegaConf then knows the key of what it refuses
            OmegaConf.update(config, key, value)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{where}{describe_key(error)}") from error


def _refuse_nested(node: Any, where: str) -> None:
    """Refuses a mapping or a list among the numbers or texts of one, which OmegaConf (2.3) lets pass."""
    wanted = node._metadata.element_type
    for key in node if isinstance(node, DictConfig) else range(len(node)):
        child = node._get_node(key)
        if isinstance(child, DictConfig | ListConfig) and not (child._is_none() or child._is_missing()):
            if wanted in (int, float, str, bool):
                raise ConfigError(f"{where}{node._get_full_key(key)}={child}: expected {wanted.__name__}")
            _refuse_nested(child, where)


def as_settings(types: type[T], values: Mapping[str, Any], where: str) -> T:
    """Turns plain values, interpolations resolved, into an object of a dataclass; see `typed`."""
    settings = OmegaConf.to_object(typed(types, escaped(values), where))
    assert isinstance(settings, types), "typed so"
    return settings


def plain(settings: Any) -> Any:
    """Returns typed settings as nested mappings; what a stage may not read is left out."""
    return {name: plain(value) for name, value in vars(settings).items()} if is_dataclass(settings) else settings


def as_yaml(values: Mapping[str, Any]) -> str:
    """Writes plain values as YAML that `src.core.config_errors.load_yaml` reads."""
    return OmegaConf.to_yaml(values)


def keep_only(settings: Any, keys: Collection[str]) -> None:
    """Takes everything else out of typed settings, so that reading it raises.

    Args:
        settings: An object of a settings class.
        keys: What stays, dotted: a whole section, or one key of it.
    """
    for name, value in list(vars(settings).items()):
        below = [key.removeprefix(f"{name}.") for key in keys if key.startswith(f"{name}.")]
        if below and name not in keys:
            keep_only(value, below)
        elif name not in keys:
            delattr(settings, name)


def check_numbers(values: Any) -> None:
    """Checks numbers of any depth.

    Args:
        values: Plain.

    Raises:
        ConfigError: A seed is out of range, or a number has over 64 bits or is not finite; all are listed.
    """
    if wrong := _number_errors(values, ""):
        raise ConfigError("; ".join(wrong))


def _number_errors(value: Any, key: str) -> list[str]:
    if isinstance(value, dict):
        pairs = [(f"{key}.{name}" if key else str(name), item) for name, item in value.items()]
        return [message for name, item in pairs for message in _number_errors(item, name)]
    if isinstance(value, list):
        return [message for index, item in enumerate(value) for message in _number_errors(item, f"{key}[{index}]")]
    if isinstance(value, bool):
        return []
    if isinstance(value, int) and key.rpartition(".")[2] == "seed" and value not in SEEDS:
        return [f"{key}={value}: expected a whole number from 0 to 2^63 - 1"]
    if isinstance(value, int) and value not in INT64:
        return [f"{key}={value}: expected a number of at most 64 bits"]
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{key}={value}: expected a number that is finite"]
    return []
