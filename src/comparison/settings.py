"""What two runs were asked to do: whether their settings differ, or their seeds alone."""

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

from src.comparison.runs import EvaluatedRun
from src.core.files import sha256_bytes

# says where things are, who watches, how a page looks, what is asked for; never what a run generates or how it is
# measured
NOT_SETTINGS = (
    *("configs_digest", "exp", "report", "tracker", "metrics", "check", "data_report", "faces"),
    "evaluate.margins",
    *("inference_metrics", "evaluate.batch_size", "validation_args.batch_size", "device", "inferencer", "prompt"),
)
# what may differ between runs of the same settings
SEEDS = ("seed", "prior.seed")


class Differs(Enum):
    """In what two runs differ."""

    NOTHING = "nothing"
    SEEDS = "seeds"
    SETTINGS = "settings"


def differing_keys(a: Any, b: Any, key: str = "") -> list[str]:
    """Lists the dotted keys under which two values differ."""
    if not isinstance(a, Mapping) and not isinstance(b, Mapping):
        return [] if a == b else [key]
    first, second = (side if isinstance(side, Mapping) else {} for side in (a, b))
    names = sorted(first.keys() | second.keys(), key=str)
    return [
        found
        for name in names
        for found in differing_keys(first.get(name), second.get(name), f"{key}.{name}".removeprefix("."))
    ]


def is_setting(key: str) -> bool:
    """Tells whether a dotted key of params.yaml decides what a run generates or how it is measured, seeds left out."""
    return not any(key == name or key.startswith(f"{name}.") for name in (*NOT_SETTINGS, *SEEDS))


def what_differs(a: EvaluatedRun, b: EvaluatedRun) -> Differs:
    """Tells whether two runs have the same settings.

    Args:
        a: One.
        b: The other.

    Returns:
        SEEDS where `SEEDS` alone differ, as when a training is repeated.
    """
    keys = differing_keys(a.params, b.params)
    if any(is_setting(key) for key in keys):
        return Differs.SETTINGS
    return Differs.SEEDS if any(key in SEEDS for key in keys) else Differs.NOTHING


def settings_digest(params: Mapping[str, Any]) -> str:
    """Names settings, whatever the seeds.

    Args:
        params: params.yaml.

    Returns:
        16 hexadecimal digits.
    """
    leaves = _leaves(params)
    kept = {key: value for key, value in leaves.items() if is_setting(key)}
    return sha256_bytes(json.dumps(kept, sort_keys=True).encode())[:16]


def _leaves(value: Any, key: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        return {key: value}
    return {k: v for name in value for k, v in _leaves(value[name], f"{key}.{name}".removeprefix(".")).items()}
