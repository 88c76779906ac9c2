"""The one allow-list of what a configuration may name in `_target_`: a file chooses parts, it runs no code.

Allowed are classes that modules of this project define, and optimizers and schedulers of the libraries below. Never a
function: `src.core.files.write_text` or `pandas.read_pickle` in a file that somebody sends would write and execute.
"""

import re
from collections.abc import Iterator
from typing import Any

from src.core.errors import ConfigError

OWN = "src"
OPTIMIZERS = ("torch.optim", "timm.optim", "bitsandbytes.optim", "prodigyopt", "schedulefree")
SCHEDULERS = ("diffusers",)
ALLOWED = f"a class of this project ({OWN}.*), an optimizer ({', '.join(OPTIMIZERS)}) or a scheduler of diffusers"
CLASS_NAME = re.compile(r"(?P<module>[a-z_]\w*(?:\.[a-z_]\w*)*)\.(?P<name>[A-Z]\w*)", re.ASCII)


def check_targets(value: object, key: str = "") -> None:
    """Checks every `_target_` by its name; imports nothing.

    Args:
        value: Plain values.
        key: Where they are, dotted.

    Raises:
        ConfigError: A target is not allowed; the message names it and its key.
    """
    for where, target in targets(value, key):
        match = CLASS_NAME.fullmatch(target) if isinstance(target, str) else None
        if match is None or not is_within(match["module"], (OWN, *OPTIMIZERS, *SCHEDULERS)):
            raise ConfigError(f"{where}={target}: expected {ALLOWED}; never a function")


def targets(value: object, key: str) -> Iterator[tuple[str, Any]]:
    """Yields every `_target_` in plain values, with its key."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from targets(item, f"{key}[{index}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            inner = f"{key}.{name}" if key else str(name)
            if name == "_target_":
                yield inner, item
            else:
                yield from targets(item, inner)


def target_modules(value: object) -> list[str]:
    """Lists the modules of this project whose classes plain values name."""
    named = {target.rpartition(".")[0] for _, target in targets(value, "") if isinstance(target, str)}
    return sorted(module for module in named if is_within(module, (OWN,)))


def is_within(module: str, packages: tuple[str, ...]) -> bool:
    """Says whether a module is one of the packages or inside of one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)
