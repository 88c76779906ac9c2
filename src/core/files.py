"""Atomic writes, content hashes and sorted listings; the only way the pipeline touches the disk."""

import glob
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.core.errors import EmptyDatasetError, NotAFileError

if TYPE_CHECKING:
    import pandas as pd

CHUNK_BYTES = 1 << 20


def work_root() -> Path:
    """Returns where caches and resumable states live: the repository's own root also in DVC's temporary copies."""
    return Path(os.environ.get("DVC_ROOT", "."))


def sha256_bytes(data: bytes) -> str:
    """Returns the SHA-256 of `data` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Returns the SHA-256 of a file's content as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_tree(root: Path, suffixes: Iterable[str] = ()) -> str:
    """Returns one SHA-256 over the relative names and contents of the files under `root`.

    Args:
        root: A folder, or a single file.
        suffixes: Only files with one of these suffixes count; empty means all.

    Returns:
        64 hexadecimal digits.
    """
    wanted = tuple(suffixes)
    digest = hashlib.sha256()
    files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
    for path in files:
        if wanted and path.suffix not in wanted:
            continue
        digest.update(f"{path.relative_to(root).as_posix()}\0{sha256_file(path)}\0".encode())
    return digest.hexdigest()


def has_file(path: Path) -> bool:
    """Says whether a file is there, before it is opened: opening a pipe waits for ever.

    Args:
        path: Perhaps from a person.

    Returns:
        False if nothing is there.

    Raises:
        NotAFileError: Something is there that is no regular file, nor a link to one.
    """
    if not path.exists():
        return False
    if not path.is_file():
        raise NotAFileError(f"{path}: {_kind(path)}, expected a regular file")
    return True


def check_folder(folder: Path) -> None:
    """Refuses a model's folder that holds what is neither a regular file nor a folder.

    Args:
        folder: What libraries will read, files and folders of files; perhaps from somebody else.

    Raises:
        NotAFileError: It does; the first such entry is named.
    """
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        if path.exists() and not path.is_dir():
            has_file(path)


def _kind(path: Path) -> str:
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}
    return kinds.get(stat.S_IFMT(path.stat().st_mode), "a device")


def list_files(folder: Path, suffix: str) -> list[Path]:
    """Lists the files of `folder` with `suffix`, sorted by name.

    Args:
        folder: The folder, not searched recursively.
        suffix: For example ``.png``.

    Returns:
        At least one path.

    Raises:
        EmptyDatasetError: The folder is missing or holds no such file.
    """
    files = sorted(p for p in folder.iterdir() if p.suffix == suffix) if folder.is_dir() else []
    if not files:
        raise EmptyDatasetError(f"{folder}: expected at least one {suffix} file, found none")
    return files


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file so that a reader sees the old content or the new, never a part of it.

    Args:
        path: Where to; parents are made.
        data: The whole content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text with \\n line ends, atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes JSON with sorted keys, atomically; NaN is refused with a ValueError."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Writes a table without its index, atomically; floats in shortest exact form."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Gives an empty folder that takes the place of `folder` only when the block succeeds.

    An error inside the block leaves an earlier `folder` as it was. After a kill the next call on this machine
    removes what was begun.

    Args:
        folder: The folder to write; its parent is made.

    Yields:
        A temporary sibling to write into.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=_temporary_prefix(folder, str(os.getpid()))))
    os.chmod(temporary, 0o755)
    old = temporary.with_name(f"{temporary.name}.old")
    try:
        yield temporary
        if folder.exists():
            os.replace(folder, old)
        os.replace(temporary, folder)
    finally:
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _temporary_prefix(folder: Path, process: str) -> str:
    return f".{folder.name}.{platform.node()}.{process}."


def _remove_leftovers(folder: Path) -> None:
    """Removes what killed processes of this machine left beside a folder; a kill between two renames is undone."""
    before, after = (re.escape(part) for part in _temporary_prefix(folder, "\0").split("\0"))
    name = re.compile(rf"{before}(\d+){after}\w{{8}}(\.old)?")
    for path in sorted(folder.parent.glob(f".{glob.escape(folder.name)}.*")):
        match = name.fullmatch(path.name)
        if match is None or _is_alive(int(match[1])):
            continue
        if match[2] and not folder.exists():
            os.replace(path, folder)
        shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
