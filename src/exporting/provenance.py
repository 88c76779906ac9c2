"""What an exported adapter was made of, as hashes alone: no name of a photo, no word of a caption.

dvc.lock holds, for each stage, the MD5 of what it read and wrote and its parameters. What other stages wrote is left
out: it follows from the rest.
"""

import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from torch import Tensor

from src.core import layout
from src.core.errors import ModelMismatchError
from src.core.files import sha256_bytes, sha256_file
from src.core.lock_file import LOCK, check_lock
from src.core.nested import flatten
from src.data.photos.listing import list_photos
from src.models.tensors import pack_tensors

KEY = "provenance"
MAX_CHARACTERS = 1 << 20
# whose inputs decide the adapter, the choice of its checkpoint and its figures, in the order in which they run
STAGES = ("convert", "crop", "caption", "split", "class_images", "train", "choose", "generate", "evaluate")
# of a stage: what is run
CMD = "cmd"
# what the guards write: they change no result
GUARDS = (layout.CONFIG_OK.as_posix(), layout.CHECK_OK.as_posix())
PACKAGES = ("torch", "diffusers", "transformers", "peft", "accelerate", "safetensors", "open_clip_torch", "pillow-heif")
# what .dvcignore leaves out
IGNORED = (".DS_Store", "__pycache__")


def stage_inputs(lock: Mapping[str, Any]) -> dict[str, dict[str, dict[str, str]]]:
    """Picks what decides each stage's result out of dvc.lock.

    Args:
        lock: Its content.

    Returns:
        By stage: ``files``, MD5 by path, of what no other stage wrote; ``params``, a hash by key; ``made``, MD5 by
        path, of what it wrote.
    """
    stages = lock.get("stages", {})
    made = {out["path"] for stage in stages.values() for out in stage.get("outs", [])}
    code = layout.STAGE_CODE.as_posix()
    found = {}
    for name in STAGES:
        if name not in stages:
            continue
        stage = stages[name]
        files = {
            dep["path"]: dep["md5"]
            for dep in stage.get("deps", [])
            if dep["path"] not in GUARDS and (dep["path"] not in made or dep["path"].startswith(f"{code}/"))
        }
        params = flatten(stage.get("params", {}).get(layout.PARAMS.as_posix(), {}))
        found[name] = {
            "files": files,
            "params": {key: short_hash(value) for key, value in params.items()} | {CMD: short_hash(stage.get(CMD))},
            "made": {out["path"]: out["md5"] for out in stage.get("outs", [])},
        }
    return found


def photo_hashes(raw: Path) -> dict[str, str]:
    """Hashes photos and captions apart, by content alone: other names and another order change nothing.

    Args:
        raw: The folder of a person's photos.

    Returns:
        ``photos`` and ``captions``; nothing where the folder is not there.

    Raises:
        EmptyDatasetError: It holds no photos.
        BadPhotoError: Two photos have the same image_id.
    """
    if not raw.is_dir():
        return {}
    listing = list_photos(raw)
    return {
        "photos": _all(photo.path for photo in listing.photos),
        "captions": _all(raw / text for text in listing.texts),
    }


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """Hashes names, types, shapes and values, whatever the header says."""
    return sha256_bytes(pack_tensors(dict(tensors), {}))


def packages() -> dict[str, str]:
    """Returns the versions of the libraries behind the numbers."""
    return {name: version(name) for name in PACKAGES}


def read_lock(root: Path) -> dict[str, Any]:
    """Reads dvc.lock.

    Args:
        root: The project.

    Returns:
        Its content; empty where there is none.

    Raises:
        ConfigError: It is no YAML mapping.
    """
    path = root / LOCK
    if not path.is_file():
        return {}
    check_lock(root)
    # DVC writes YAML 1.2, in which 1e-05 is a number
    content: dict[str, Any] = YAML(typ="safe").load(path)
    return content


def commit(root: Path) -> str:
    """Returns the commit that is checked out, or an empty text outside of git."""
    shown = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return shown.stdout.strip() if shown.returncode == 0 else ""


def md5_of_folder(folder: Path) -> str:
    """Returns what dvc.lock says of a folder with this content."""
    entries = [
        {"md5": md5(path.read_bytes()), "relpath": path.relative_to(folder).as_posix()}
        for path in folder.rglob("*")
        if path.is_file() and not set(path.relative_to(folder).parts) & set(IGNORED)
    ]
    listed = json.dumps(sorted(entries, key=lambda entry: entry["relpath"]), sort_keys=True)
    return f"{md5(listed.encode())}.dir"


def read_provenance(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Reads what a file says of its making; somebody else may have sent it.

    Args:
        path: For the message.
        metadata: Of its header.

    Returns:
        What `export_lora` wrote.

    Raises:
        ModelMismatchError: It says nothing, or something else.
    """
    text = metadata.get(KEY, "")
    try:
        content = json.loads(text) if len(text) <= MAX_CHARACTERS else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not _is_whole(content):
        raise ModelMismatchError(
            f"{path}: does not say what it was made of; export_lora writes that of a pipeline's run"
        )
    return content


def _is_whole(content: Mapping[str, Any]) -> bool:
    """Says whether a file's statement has the form of ours."""
    base, stages = content.get("base"), content.get("stages")
    texts = [content.get(key) for key in ("layout", "checkpoint", "weights", "tensors")]
    texts += [base.get("digest") if isinstance(base, dict) else None]
    inputs = list(stages.values()) if isinstance(stages, dict) else [None]
    for one in inputs:
        for key in ("files", "params", "made"):
            part = one.get(key) if isinstance(one, dict) else None
            texts += part.values() if isinstance(part, dict) else [None]
    return all(isinstance(text, str) for text in texts)


def _all(paths: Iterable[Path]) -> str:
    return sha256_bytes("\n".join(sorted(map(sha256_file, paths))).encode())


def md5(data: bytes) -> str:
    """Returns what dvc.lock says of a file with this content."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def short_hash(value: object) -> str:
    """Hashes a parameter's value."""
    return sha256_bytes(json.dumps(value, sort_keys=True).encode())[:16]
