"""Refuses an adapter to begin with that this training cannot go on from, by what its config.yaml says of it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from src.core import layout
from src.core.errors import ModelMismatchError
from src.core.files import sha256_tree
from src.core.places import without_places
from src.core.records import read_bounded, read_record
from src.core.settings import Settings
from src.core.typed import plain
from src.methods.foreign.bases import check_base_of
from src.methods.foreign.opening import open_adapter
from src.methods.formats import find_format

# They may be others: how it trains, not what.
RATES = ("lr", "text_encoder_lr", "lr_share", "initial")


def check_start(params: Settings, base: Path) -> None:
    """Compares base model and method before any model loads; what has no config.yaml is compared when it is there.

    Args:
        params: The stage's parameters; `train.checkpoint_path` is set.
        base: The base model's folder.

    Raises:
        ConfigError: The folder's config.yaml is none.
        ModelMismatchError: A file is damaged, or was made with another base model, method, rank or alpha.
    """
    key, folder = "train.checkpoint_path", Path(str(params.train.checkpoint_path))
    opened, record = open_adapter(folder), folder / layout.ADAPTER_CONFIG
    found = find_format(opened)
    if found is None:
        return  # `starting_files` says so
    found.check_file(opened)
    check_base_of(opened, base)
    if not record.is_file():
        return
    own = without_places(plain(params))
    theirs = read_record(record).get("model")
    if theirs and (trained_on := _base(theirs)) not in (None, _base(own["model"])):
        raise ModelMismatchError(
            f"{key}={folder}: trained on {theirs['id']} ({trained_on}), not on {own['model']['id']}"
        )
    method = yaml.safe_load(read_bounded(record)).get("method", {})
    for name, value, wanted in _different(method, own["method"], "method"):
        raise ModelMismatchError(f"{key}={folder}: {name} is {str(value)[:80]}, this training has {wanted}")


def _base(model: Mapping[str, Any]) -> str | None:
    """Names a base by its content, or by its pinned revision; None where neither is known."""
    if model.get("sha256"):
        return f"SHA-256 {model['sha256'][:12]}"
    if Path(model["id"]).exists():
        return f"SHA-256 {sha256_tree(Path(model['id']))[:12]}"
    return f"revision {model['revision']}" if model["revision"] else None


def _different(theirs: Any, own: Any, key: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(theirs, Mapping) and isinstance(own, Mapping):
        for name in own:
            if name in theirs and name not in RATES and not name.endswith("dropout"):
                yield from _different(theirs[name], own[name], f"{key}.{name}")
    elif isinstance(theirs, list) and isinstance(own, list) and len(theirs) == len(own):
        for index, pair in enumerate(zip(theirs, own, strict=True)):
            yield from _different(*pair, f"{key}[{index}]")
    elif theirs != own:
        yield key, theirs, own
