"""Files of caches and states, which end with their own SHA-256: one that does not fit is made anew, never believed."""

import hashlib
from pathlib import Path

from src.core.files import write_bytes

DIGEST_BYTES = 32


def write_sealed(path: Path, data: bytes) -> None:
    """Writes a file atomically, followed by its SHA-256 (32 bytes, which PNG viewers pass over)."""
    write_bytes(path, data + hashlib.sha256(data).digest())


def read_sealed(path: Path) -> bytes | None:
    """Reads what `write_sealed` wrote.

    Args:
        path: A file that may be missing or damaged.

    Returns:
        The content; None if there is none, or if it does not fit its digest: then a line says so, and the file is gone.
    """
    if not path.is_file():
        return None
    content = path.read_bytes()
    data, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    if hashlib.sha256(data).digest() == digest:
        return data
    print(f"{path}: damaged (it does not fit its own SHA-256); made anew", flush=True)
    path.unlink(missing_ok=True)
    return None
