"""Builds what a configuration names in `_target_`, once `src.core.targets` allows it; nothing else instantiates."""

import importlib
from collections.abc import Mapping
from dataclasses import make_dataclass
from typing import Any, get_type_hints

from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.core.errors import ConfigError
from src.core.quoting import escaped
from src.core.targets import ALLOWED, OPTIMIZERS, OWN, check_targets, is_within, targets
from src.core.typed import as_settings


def build(settings: Mapping[str, Any], key: str, **options: Any) -> Any:
    """Builds an object from plain values.

    Args:
        settings: With a `_target_`.
        key: Where they are, dotted.
        **options: Of Hydra's instantiate, for example ``_partial_=True``.

    Returns:
        The object.

    Raises:
        ConfigError: A target is not allowed or is not there, or an argument has another type than the class says.
    """
    check_targets(settings, key)
    # instantiate resolves twice: a `${` that a person typed as text has to outlive both
    literal = escaped(escaped(_with_types(settings, key)))
    for name in reversed(key.split(".")):
        literal = {name: literal}
    return instantiate(OmegaConf.select(OmegaConf.create(literal), key), _convert_="all", **options)


def build_each(settings: Mapping[str, Any], key: str) -> list[Any]:
    """Builds what each key of a mapping says, in their order; see `build`."""
    return [build(entry, f"{key}.{name}") for name, entry in settings.items()]


def _with_types(value: Any, key: str) -> Any:
    """Checks every class and its arguments, inner ones first; a text that says a number becomes one."""
    if isinstance(value, list):
        return [_with_types(item, f"{key}[{index}]") for index, item in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    values = {name: _with_types(item, f"{key}.{name}") for name, item in value.items()}
    if "_target_" not in values:
        return values
    part: Any = check_class(f"{key}._target_", values["_target_"])
    hints = get_type_hints(part.__init__)
    arguments = {name: _checkable(hints[name]) for name, item in values.items() if name in hints and not _is_part(item)}
    types = make_dataclass("Arguments", list(arguments.items()))
    found: Any = as_settings(types, {name: values[name] for name in arguments}, f"{key}.")
    # a whole number stays one where a float is wanted
    return values | {name: item for name, item in vars(found).items() if item != values[name]}


def _is_part(value: Any) -> bool:
    """Says whether a value is built, or holds what is."""
    return next(targets(value, ""), None) is not None


def _checkable(hint: Any) -> Any:
    """Returns a type, or `Any` for one that OmegaConf does not know."""
    try:
        OmegaConf.structured(make_dataclass("Argument", [("value", hint)]))
    except OmegaConfBaseException:
        return Any
    return hint


def check_class(key: str, target: str) -> type:
    """Imports what a target names and checks that it is what its name says.

    A class that a module of this project merely imports, such as Path, is none of the project's.

    Args:
        key: Where it is named, dotted.
        target: Allowed by `check_targets`.

    Returns:
        The class.

    Raises:
        ConfigError: There is no such class, or it is of another kind.
    """
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{key}={target}: no such class: {error}") from error
    if not isinstance(found, type) or not _is_allowed(module, found):
        raise ConfigError(f"{key}={target}: expected {ALLOWED}; never a function")
    return found


def _is_allowed(module: str, found: type) -> bool:
    if is_within(module, (OWN,)):
        return found.__module__ == module
    if is_within(module, OPTIMIZERS):
        from torch.optim import Optimizer

        return issubclass(found, Optimizer)
    from diffusers.schedulers import SchedulerMixin

    return issubclass(found, SchedulerMixin)
