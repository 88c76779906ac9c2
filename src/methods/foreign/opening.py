"""Opens an adapter of whatever tool as a checkpoint folder of this project; what somebody else made is data.

A foreign file is converted once and kept by its content; without the kept one the same bytes are made anew.
"""

import json
import re
from pathlib import Path
from typing import Any

import safetensors
from safetensors import safe_open

from src.core import layout
from src.core.errors import ModelMismatchError
from src.core.files import has_file, replaced_folder, sha256_bytes, sha256_file, work_root, write_bytes
from src.core.provenance import code_digest
from src.core.single_file import PICKLES, SUFFIX, read_contents
from src.methods import lora_files, textual_inversion, tuner
from src.methods.files import check_size, read_tensors
from src.methods.foreign.converting import is_own, save_updates
from src.methods.foreign.embeddings import is_embedding, save_embedding, take_bundled
from src.methods.foreign.layers import read_updates
from src.methods.formats import FORMATS, find_format
from src.methods.lora_header import HEADER_KEY
from src.methods.peft_settings import read_settings

BASE_MARKS = ("model.diffusion_model.", "first_stage_model.", "cond_stage_model.", "conditioner.", "double_blocks.")
MAX_NAME_CHARACTERS = 80


def open_adapter(path: Path) -> Path:
    """Finds the checkpoint folder of an adapter.

    Args:
        path: A folder, or a .safetensors file of any name; perhaps from somebody else.

    Returns:
        A folder in one of this project's formats: the same one where it is one, or holds none.

    Raises:
        ModelMismatchError: A file is a pickle, is damaged or far too large, or is no adapter that can be read here; the
            first tensor that does not fit is named.
        NotAFileError: It is a pipe, a device or a socket.
    """
    file = _foreign_file(path)
    if file is None:
        return path.parent if _is_of_checkpoint(path) else path
    settings = file.parent / tuner.SETTINGS if file.name == tuner.WEIGHTS else None
    known = [sha256_file(one) for one in (file, settings) if one is not None]
    # pytorch_lora_weights.safetensors says nothing, and the folder that it lies in does
    named = file.parent.absolute() if _is_of_checkpoint(file) else file
    word = named.stem if named is file else named.name
    key = sha256_bytes(" ".join([*known, code_digest(__name__), word]).encode(errors="surrogateescape"))
    folder = work_root() / layout.ADAPTER_CACHE / key[:16] / adapter_name(named)
    if not folder.is_dir():
        with replaced_folder(folder) as made:
            _convert(file, settings, word, made)
    return folder


def adapter_name(path: Path) -> str:
    """Returns what an adapter's file or folder is called in folders and tables: its name, as far as they take it."""
    name = re.sub(r"[^\w.+-]+", "-", path.stem if path.suffix == SUFFIX else path.name, flags=re.ASCII)
    return re.sub(r"^[^A-Za-z0-9]+|[.-]+$", "", name[:MAX_NAME_CHARACTERS]) or "adapter"


def _foreign_file(path: Path) -> Path | None:
    """Finds the file to convert; None where there is none, or where the folder is a checkpoint as it is."""
    if not path.is_dir():
        if path.suffix in PICKLES and path.exists():
            raise ModelMismatchError(f"{path}: a pickle, which may run code when it is read; expected a {SUFFIX} file")
        if path.suffix != SUFFIX or not has_file(path):
            return None
        if not _is_of_checkpoint(path) or _is_foreign(path):
            return path
        return _foreign_file(path.parent)
    first = next((path / entry.files[0] for entry in FORMATS if has_file(path / entry.files[0])), None)
    if find_format(path) is not None and not (first and _is_foreign(first)):
        return None
    files = sorted(file for file in path.glob(f"*{SUFFIX}") if not file.name.startswith("."))
    if len(files) > 1:
        raise ModelMismatchError(f"{path}: holds {len(files)} {SUFFIX} files; name one of them, as {files[0]}")
    return next(iter(files), None)


def _is_of_checkpoint(path: Path) -> bool:
    return path.is_file() and any(path.name == entry.files[0] for entry in FORMATS)


def _is_foreign(file: Path) -> bool:
    """Says whether what lies there under the name of one of this project's files is in another tool's layout."""
    if file.name == tuner.WEIGHTS:
        settings = file.parent / tuner.SETTINGS
        return has_file(settings) and str(read_settings(settings).get("peft_type", "")).upper() == "LORA"
    if file.name not in (lora_files.WEIGHTS, textual_inversion.WEIGHTS):
        return False
    names, metadata = _names(file)
    if not names:
        return False
    if file.name == lora_files.WEIGHTS:
        return not is_own(file, names, metadata)
    return "token" not in metadata and (len(names) == 1 or set(names) <= {*textual_inversion.SEVERAL})


def _names(file: Path) -> tuple[list[str], dict[str, str]]:
    """Reads the names of the tensors and the header's metadata; of what is damaged nothing, as its reader will say."""
    try:
        check_size(file)
        with safe_open(file, framework="pt") as opened:
            return sorted(opened.keys()), dict(opened.metadata() or {})
    except (safetensors.SafetensorError, ModelMismatchError):
        return [], {}


def _convert(file: Path, settings: Path | None, word: str, folder: Path) -> None:
    tensors, metadata = read_tensors(file.parent, file.name)
    if is_own(file, sorted(tensors), metadata):
        write_bytes(folder / lora_files.WEIGHTS, file.read_bytes())
        return
    try:
        if is_embedding(tensors):
            save_embedding(folder, word, tensors, metadata)
            return
        bundled, rows = take_bundled(tensors)
        if bundled:
            save_embedding(folder, bundled, rows, {})
        updates = read_updates(tensors)
    except ModelMismatchError as error:
        raise ModelMismatchError(f"{file}: {_base_kind(file, tensors) or error}") from error
    if settings is not None:
        components = {layer.partition(".")[0] for layer in updates}
        note = {f"{name}.{key}": value for name in components for key, value in read_settings(settings).items()}
        metadata = {HEADER_KEY: json.dumps(note)}
    save_updates(file, folder, updates, metadata)


def _base_kind(file: Path, tensors: dict[str, Any]) -> str | None:
    """Says what a base model's file is that was given for an adapter."""
    if not any(name.startswith(BASE_MARKS) and name.endswith("weight") and "lora" not in name for name in tensors):
        return None
    try:
        pipeline = read_contents(file).pipeline
    except ModelMismatchError:
        return None
    return f"a whole base model ({pipeline}) and no adapter; it goes into model.id"
