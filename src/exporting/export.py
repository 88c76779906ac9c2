"""Puts an adapter's file together: its layout, what tools read in its header, and what it was made of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.core import layout
from src.core.errors import ConfigError
from src.core.files import sha256_file
from src.core.lock_file import LOCK
from src.exporting.card import Base, measured_figures
from src.exporting.header import BaseKind, Subject, as_json, tool_header
from src.exporting.layouts import LAYOUTS, Source
from src.exporting.provenance import (
    KEY,
    commit,
    md5_of_folder,
    packages,
    photo_hashes,
    read_lock,
    stage_inputs,
    tensors_hash,
)
from src.models.tensors import pack_tensors
from src.sampling.variants import Variant


@dataclass(frozen=True)
class Adapter:
    """What is exported.

    Attributes:
        checkpoint: The checkpoint.
        source: The same, for the layouts.
        kind: Of its base model.
        base: Its base model.
        subject: What it learned.
        layout: A key of LAYOUTS.
        method: How it was trained, for people.
    """

    checkpoint: Variant
    source: Source
    kind: BaseKind
    base: Base
    subject: Subject
    layout: str
    method: str


def pack(adapter: Adapter, title: str, provenance: dict[str, Any]) -> tuple[bytes, tuple[str, ...]]:
    """Returns the bytes of a file, and what a person should know of it.

    Args:
        adapter: What is exported.
        title: The file's name without its ending.
        provenance: From `provenance_of`, or what a file says; what follows from the adapter is written anew.

    Returns:
        A safetensors file; the same arguments give the same bytes.

    Raises:
        ModelMismatchError: There is no such layout for it, or a file is damaged.
    """
    written = LAYOUTS[adapter.layout](adapter.source)
    own = {
        "layout": adapter.layout,
        "checkpoint": adapter.checkpoint.name,
        "weights": adapter.checkpoint.digest,
        "tensors": tensors_hash(written.tensors),
    }
    header = {
        **tool_header(adapter.kind, adapter.subject, title, written.module, written.metadata),
        KEY: as_json(provenance | own),
    }
    return pack_tensors(written.tensors, {"format": "pt", **header}), written.notes


def provenance_of(adapter: Adapter, root: Path) -> dict[str, Any]:
    """Says what an adapter was made of.

    Args:
        adapter: What is exported.
        root: The run's folder.

    Returns:
        Plain values; `stages` is empty where the adapter is not what dvc.lock in `root` says.

    Raises:
        EmptyDatasetError: The folder of photos has none.
        BadPhotoError: Two photos have the same image_id.
        ConfigError: dvc.lock is damaged.
    """
    said = {
        "base": {"name": adapter.base.name, "digest": adapter.base.digest},
        "method": adapter.method,
        "packages": packages(),
        "stages": {},
    }
    stages = made_here(adapter.source.folder, root)
    if not stages:
        return said
    return said | {
        "commit": commit(root),
        "dvc_lock": sha256_file(root / LOCK),
        "stages": stages,
        **photo_hashes(root / layout.RAW),
        "metrics": measured_figures(root, adapter.checkpoint.name).get("rows", []),
    }


def made_here(checkpoint: Path, root: Path) -> dict[str, Any]:
    """Returns what each stage read, where a checkpoint is what dvc.lock says, and nothing elsewhere.

    Args:
        checkpoint: Its folder.
        root: The run's folder.

    Returns:
        As of `stage_inputs`.

    Raises:
        ConfigError: dvc.lock is damaged.
    """
    stages = stage_inputs(read_lock(root))
    made = stages.get("train", {}).get("made", {}).get(layout.ADAPTER.as_posix())
    folder = root / layout.ADAPTER
    is_own = checkpoint.resolve().parent == folder.resolve() and made == md5_of_folder(folder)
    return stages if is_own else {}


def count_photos(checkpoint: Path, root: Path) -> int:
    """Returns on how many photos a checkpoint of this run was trained; 0 where that is not known."""
    return int(measured_figures(root, checkpoint.name).get("photos", 0)) if made_here(checkpoint, root) else 0


def choose_layout(wanted: str | None, transformer: bool) -> str:
    """Chooses how an adapter is written.

    Args:
        wanted: A key of LAYOUTS, or None for what most tools read of this kind of base model.
        transformer: Whether the base model has a transformer in place of a UNet.

    Returns:
        The key.

    Raises:
        ConfigError: There is no such layout.
    """
    if wanted is None:
        return "diffusers" if transformer else "kohya"
    if wanted not in LAYOUTS:
        raise ConfigError(f"--layout {wanted}: expected one of {', '.join(LAYOUTS)}")
    return wanted
