"""Hydra's composition of configs/, once for what a stage asks for four times: it takes 0.2 s each time."""

import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from src.core.digest import CONFIGS, configs_digest


def compose_once(overrides: Sequence[str]) -> DictConfig:
    """Composes configs/ with overrides, or remembers what that gave; an edit of configs/ is seen.

    Args:
        overrides: Of Hydra.

    Returns:
        A configuration of the caller's own.
    """
    # a copy that is pickled takes a sixth of the time of one that OmegaConf makes
    composed: DictConfig = pickle.loads(_composed(tuple(overrides), configs_digest()))
    return composed


@cache
def _composed(overrides: tuple[str, ...], _digest: str) -> bytes:
    with _beside_a_running_app(), initialize_config_dir(str(CONFIGS), version_base=None):
        return pickle.dumps(compose("config", overrides=list(overrides)))


@contextmanager
def _beside_a_running_app() -> Iterator[None]:
    """Puts the app of a multirun aside, in which a job composes its configuration: Hydra knows one at a time."""
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        if running is not None:
            GlobalHydra.instance().initialize(running)
