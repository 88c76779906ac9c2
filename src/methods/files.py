"""Reads what a checkpoint folder holds, which somebody else may have sent."""

import struct
from pathlib import Path

from torch import Tensor

from src.core.errors import ModelMismatchError
from src.core.files import has_file
from src.models.tensors import load_tensors

# SDXL's adapter of rank 256 in float32 has 3 GB and 5,000 names
MAX_FILE_BYTES, MAX_HEADER_BYTES = 8 << 30, 4 << 20


def read_tensors(folder: Path, name: str, largest: int = MAX_FILE_BYTES) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads a safetensors file, unless it is larger than anything of its kind.

    Args:
        folder: A checkpoint folder.
        name: The file in it.
        largest: What it may have at most, bytes.

    Returns:
        Tensors and metadata, by name.

    Raises:
        ModelMismatchError: The file is missing, damaged or far too large.
    """
    path = folder / name
    if not has_file(path):
        raise ModelMismatchError(f"{folder}: expected a checkpoint with {name}")
    check_size(path, largest)
    return load_tensors(path)


def check_size(path: Path, largest: int = MAX_FILE_BYTES) -> None:
    """Refuses a safetensors file that is larger than anything of its kind, before a library reads it.

    Args:
        path: The file.
        largest: What it may have at most, bytes.

    Raises:
        ModelMismatchError: It is, or its header is.
    """
    if path.stat().st_size > largest:
        raise ModelMismatchError(f"{path}: over {largest >> 30} GiB; expected an adapter")
    with path.open("rb") as stream:
        length = stream.read(8)
    if len(length) == 8 and struct.unpack("<Q", length)[0] > MAX_HEADER_BYTES:
        raise ModelMismatchError(f"{path}: a header of over {MAX_HEADER_BYTES >> 20} MiB; expected an adapter")
