"""Says before `dvc exp run --queue` and `--temp` start that DVC cannot copy a repository of this path."""

from collections.abc import Sequence
from pathlib import Path

COPYING = ("--queue", "--temp")


def refuse_copies(words: Sequence[str], repository: Path) -> None:
    """Ends a command that would copy the repository from a path at which DVC fails, without saying why.

    Args:
        words: The command line.
        repository: Its folder.

    Raises:
        SystemExit: The path holds a letter that is not ASCII, or ``#``; with the way out.
    """
    path = repository.as_posix()
    asked = [word for word in words[1:] if word in COPYING]
    if "exp" not in words or not asked or (path.isascii() and "#" not in path):
        return
    raise SystemExit(
        f"dvc exp run {asked[0]} fails in {path}: DVC cannot copy from a path with '#' or letters that are not ASCII; "
        f"leave out {asked[0]}, or move the project"
    )
