"""Safetensors files whose bytes depend on their content alone.

The library keeps its header's metadata in a hash map, so two keys come out in another order from run to run.
"""

import json
import os
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from src.core.errors import ModelMismatchError
from src.core.files import write_bytes


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes tensors atomically, with a header in canonical order.

    Args:
        path: Where to.
        tensors: By name; shape and dtype are kept.
        metadata: Text kept in the header.
    """
    write_bytes(path, pack_tensors(tensors, metadata))


def pack_tensors(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """Returns the bytes of a safetensors file with a header in canonical order; the arguments are those of a file."""
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return canonical_bytes(safetensors.torch.save(on_cpu, metadata=metadata))


def unpack_tensors(data: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Returns tensors and metadata of what pack_tensors returned, which something else has checked."""
    return safetensors.torch.load(data), dict(_header(data)[0].get("__metadata__", {}))


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns what safetensors says of a failed write into the OSError that it was.

    Args:
        path: What is written, for the message.

    Yields:
        Nothing.

    Raises:
        OSError: The write failed.
    """
    try:
        yield
    except safetensors.SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads tensors and metadata.

    Args:
        path: A safetensors file.

    Returns:
        The tensors on the CPU by name, and the header's metadata.

    Raises:
        ModelMismatchError: The file is damaged.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ModelMismatchError(f"{path}: not a whole safetensors file: {error}") from error


def fill(own: Mapping[str, Tensor], wanted: Mapping[str, Tensor], complaint: str) -> None:
    """Copies values into tensors of the same names and shapes, no more and no fewer.

    Args:
        own: What is filled, in place.
        wanted: The values.
        complaint: What to say of others, with places for how many and for the first.

    Raises:
        ModelMismatchError: Names or shapes differ; nothing has been copied then.
    """
    shapes = [{name: tensor.shape for name, tensor in side.items()} for side in (own, wanted)]
    if wrong := sorted(name for name in own.keys() | wanted.keys() if shapes[0].get(name) != shapes[1].get(name)):
        raise ModelMismatchError(complaint.format(len(wrong), wrong[0]))
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(wanted[name])


def canonical_bytes(data: bytes) -> bytes:
    """Rewrites the header of a safetensors file with sorted keys; the tensors' bytes stay.

    Args:
        data: A whole safetensors file: header length (8 bytes, little endian), JSON header, tensors.

    Returns:
        A file with the same tensors and metadata.
    """
    header, start = _header(data)
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data[start:]


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """Returns the JSON header, and where the tensors begin."""
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), 8 + length
