"""Compares the objects of a DVC remote with what dvc.lock and the .dvc files name."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from dvc.repo import Repo
from dvc_data.hashfile.db import get_index

CHUNK_BYTES = 1 << 20
DIRECTORY = ".dir"


@dataclass(frozen=True)
class Damaged:
    """An object that is not what its name says.

    Attributes:
        oid: DVC's name for it: its MD5, with ``.dir`` for a list of files.
        name: The output it belongs to, with the file inside it.
        problem: What was found and what was expected.
    """

    oid: str
    name: str
    problem: str


@dataclass(frozen=True)
class Audit:
    """What a remote holds of what the repository names.

    Attributes:
        whole: How many objects are as they should be.
        missing: How many are not there.
        damaged: The rest.
    """

    whole: int
    missing: int
    damaged: list[Damaged]


def audit(repo: Repo, odb: Any) -> Audit:
    """Reads every named object of a remote, once.

    Args:
        repo: The repository; its cache is not changed.
        odb: The remote's objects.

    Returns:
        Counts, and what is damaged.
    """
    whole = missing = 0
    damaged: dict[str, Damaged] = {}
    seen = set()
    for oid, name, size in named_objects(repo, odb):
        if oid in seen:
            continue
        seen.add(oid)
        problem = look(odb, oid, size)
        if problem is None:
            whole += 1
        elif not problem:
            missing += 1
        else:
            damaged[oid] = Damaged(oid, name, problem)
    return Audit(whole, missing, list(damaged.values()))


def named_objects(repo: Repo, odb: Any) -> Iterator[tuple[str, str, int | None]]:
    """Lists what dvc.lock and the .dvc files of the working copy name.

    Args:
        repo: The repository.
        odb: Where to read lists of files that the cache does not have.

    Yields:
        Name of the object, what it is for, and its bytes where they are recorded or the cache has it.
    """
    for out in sorted(repo.index.outs, key=str):
        if not out.use_cache or not out.hash_info:
            continue
        oid, label = out.hash_info.value, str(out)
        if not oid.endswith(DIRECTORY):
            yield oid, label, out.meta.size
            continue
        yield oid, label, None
        content = read_whole(repo.cache.local, oid)
        for entry in json.loads(content or read_whole(odb, oid) or b"[]"):
            yield entry["md5"], f"{label}/{entry['relpath']}", _cached_size(repo, entry["md5"])


def look(odb: Any, oid: str, size: int | None) -> str | None:
    """Compares one object with its name.

    Args:
        odb: Where it is.
        oid: Its name.
        size: Its bytes, where they are known.

    Returns:
        None where it is whole, an empty text where it is not there, else what is wrong.
    """
    path = odb.oid_to_path(oid)
    if not odb.fs.isfile(path):
        return ""
    found = odb.fs.size(path)
    if size is not None and found is not None and found != size:
        return f"{found} bytes, expected {size}"
    md5 = _md5(odb, oid)
    return None if md5 == oid.removesuffix(DIRECTORY) else f"MD5 {md5} ({found} bytes), expected {oid}"


def mend(repo: Repo, odb: Any, bad: Damaged) -> str:
    """Deletes a damaged object and pushes it again from the cache, where that has it whole.

    Args:
        repo: The repository.
        odb: The remote's objects.
        bad: What to mend.

    Returns:
        What was done, in a few words.
    """
    cache = repo.cache.local
    odb.fs.remove(odb.oid_to_path(bad.oid))
    with closing(get_index(odb)) as index:  # DVC's own memory of what the remote has
        index.clear()
    if look(cache, bad.oid, None) is not None:
        return "deleted; the cache here has no whole copy, so run `dvc push` where one is"
    odb.add(cache.oid_to_path(bad.oid), cache.fs, bad.oid, check_exists=False, verify=False)
    again = look(odb, bad.oid, None)
    return "deleted and pushed again" if again is None else f"deleted; pushing again failed: {again or 'not there'}"


def read_whole(odb: Any, oid: str) -> bytes | None:
    """Returns an object's content; None where it is missing or damaged."""
    if look(odb, oid, None) is not None:
        return None
    with odb.fs.open(odb.oid_to_path(oid), "rb") as stream:
        return stream.read()


def _md5(odb: Any, oid: str) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with odb.fs.open(odb.oid_to_path(oid), "rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _cached_size(repo: Repo, oid: str) -> int | None:
    cache = repo.cache.local
    path = cache.oid_to_path(oid)
    return cache.fs.size(path) if cache.fs.isfile(path) else None
