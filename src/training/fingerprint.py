"""Names a run by everything that decides its weights."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from src.core.files import sha256_bytes, sha256_tree

# The code whose change can change a weight.
CODE = ("training", "models", "losses", "data/dataset.py", "stages/train.py", "stages/training_setup.py")
PACKAGES = ("torch", "diffusers", "transformers", "peft", "accelerate", "numpy")
SOURCE = Path(__file__).resolve().parents[1]


def fingerprint(params: dict[str, Any], data: list[Path], model_id: str, revision: str | None, work: str) -> str:
    """Returns a name that two runs share only when they would give the same weights.

    Args:
        params: The resolved parameters that decide weights.
        data: Files and folders that are read; their contents count.
        model_id: The base model; a folder's contents count, a hub id counts with its revision.
        revision: The pinned commit of a hub id.
        work: Kind of device and number of processes.

    Returns:
        16 hexadecimal digits.
    """
    model = sha256_tree(Path(model_id)) if Path(model_id).is_dir() else f"{model_id}@{revision}"
    parts = {
        "params": params,
        "data": [sha256_tree(path) for path in data],
        "model": model,
        "code": [sha256_tree(SOURCE / name, (".py",)) for name in CODE],
        "versions": {name: version(name) for name in PACKAGES},
        "work": work,
    }
    return sha256_bytes(json.dumps(parts, sort_keys=True).encode())[:16]
