"""Names a run by everything that decides its weights."""

import json
from typing import Any

from src.core.files import sha256_bytes


def fingerprint(params: dict[str, Any], data: list[str], model: str, code: str, work: str) -> str:
    """Returns a name that two runs share only when they would give the same weights.

    Args:
        params: The resolved parameters that decide weights.
        data: The contents of what is read, by digest.
        model: Names the base model's weights.
        code: Names the code that trains.
        work: Kind of device and number of processes.

    Returns:
        16 hexadecimal digits.
    """
    parts = {
        "params": params,
        "data": data,
        "model": model,
        "code": code,
        "work": work,
    }
    return sha256_bytes(json.dumps(parts, sort_keys=True).encode())[:16]
