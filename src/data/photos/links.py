"""Symbolic links in data/raw that lead out of it."""

import os
import re
from pathlib import Path

# DVC's objects, wherever its cache is
DVC_OBJECT = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}(\.dir)?$")
OUTSIDE = "a symbolic link to a place outside of the folder; copy what it names"


def leaves(root: Path, path: Path) -> bool:
    """Says whether a symbolic link leads out of a folder to what nobody put there and DVC would not version.

    Args:
        root: The folder, without links in its own path.
        path: Something below it.

    Returns:
        False for what is no link, for a broken one, and for links into DVC's cache, which `cache.type symlink` makes.
    """
    if not path.is_symlink():
        return False
    target = Path(os.path.realpath(path))
    return target.exists() and not target.is_relative_to(root) and not DVC_OBJECT.search(target.as_posix())
