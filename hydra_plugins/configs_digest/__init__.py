"""Registers `${configs_digest:}`; DVC (hydra.plugins_path) and src.core.config both load it."""

from src.core.digest import register

register()
