"""Builds what a configuration names in `_target_`, once `src.core.targets` allows it; nothing else instantiates."""

import importlib
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from src.core.errors import ConfigError
from src.core.quoting import escaped
from src.core.targets import ALLOWED, OPTIMIZERS, OWN, check_targets, is_within, targets


def build(settings: DictConfig | ListConfig, **options: Any) -> Any:
    """Builds an object from its configuration.

    Args:
        settings: Resolved, with a `_target_`.
        **options: Of Hydra's instantiate, for example ``_partial_=True``.

    Returns:
        The object.

    Raises:
        ConfigError: A target is not allowed, or is not there.
    """
    plain, key = OmegaConf.to_container(settings, resolve=True), str(settings._get_full_key(None))
    check_targets(plain, key)
    for where, target in targets(plain, key):
        check_class(where, target)
    # instantiate resolves twice: a `${` that a person typed as text has to outlive both
    literal = escaped(escaped(plain))
    for name in reversed(key.split(".") if key else []):
        literal = {name: literal}
    return instantiate(OmegaConf.select(OmegaConf.create(literal), key), **options)


def build_each(settings: DictConfig) -> list[Any]:
    """Builds what each key of a mapping says, in their order; see `build`."""
    return [build(entry) for entry in settings.values()]


def check_class(key: str, target: str) -> None:
    """Imports what a target names and checks that it is what its name says.

    A class that a module of this project merely imports, such as Path, is none of the project's.

    Args:
        key: Where it is named, dotted.
        target: Allowed by `check_targets`.

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


def _is_allowed(module: str, found: type) -> bool:
    if is_within(module, (OWN,)):
        return found.__module__ == module
    if is_within(module, OPTIMIZERS):
        from torch.optim import Optimizer

        return issubclass(found, Optimizer)
    from diffusers.schedulers import SchedulerMixin

    return issubclass(found, SchedulerMixin)
