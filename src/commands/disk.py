"""What lies on the disk after runs, and how to be rid of it.

`python -m src.commands.disk` shows each place and its size; `... clean-states` deletes what only saves time;
`... forget --yes` deletes everything that was made from the photos in data/raw
and subjects, the photos here included.
"""

import fcntl
import shutil
from dataclasses import dataclass
from pathlib import Path

from src.commands.usage import command_line
from src.core import layout
from src.core.config_errors import one_line
from src.core.errors import StateLockedError
from src.core.files import work_root

MEGABYTE = 1e6
FORGET_LEFT = """\
What is not on this disk's working copy is yours to remove: commits (they hold hashes, metrics and captions' lengths, no
photos), experiments (`dvc exp remove -A`), remotes that you pushed to (`dvc gc --workspace --cloud`), tracking servers,
and the photos where you copied them from. `git checkout -- . && dvc pull` brings the sample photos back."""


@dataclass(frozen=True)
class Place:
    """A file or folder that runs write.

    Attributes:
        path: Relative to the repository.
        what: What it is for, in a few words.
        saves_time: Whether deleting it changes no result.
        personal: Whether it holds photos, pictures of the subject, or what was learnt from them.
    """

    path: Path
    what: str
    saves_time: bool = False
    personal: bool = True


PLACES = (
    Place(layout.RAW, "your photos"),
    Place(layout.IMAGES, "upright PNGs"),
    Place(layout.CROPS, "crops"),
    Place(layout.CAPTIONS, "captions"),
    Place(layout.SPLIT, "split"),
    Place(layout.CLASS_IMAGES, "images of the class", personal=False),
    Place(layout.SAMPLES, "images generated for the evaluation"),
    Place(layout.ADAPTER, "checkpoints"),
    Place(layout.FETCHED_MODELS, "metric models that were fetched", personal=False),
    Place(layout.EMBEDDED, "the embedded models", personal=False),
    Place(layout.SALIENT, "the network of cropper=salient", personal=False),
    Place(layout.METRICS, "scores, curves, the report"),
    Place(layout.OUTPUTS, "what train.py and inference.py made alone"),
    Place(layout.PICTURES, "what inference.py drew with exp.run_dir=."),
    Place(layout.SUBJECTS, "several subjects: their photos, and all that was made from them"),
    Place(layout.LOGS, "TensorBoard and offline trackers"),
    Place(layout.DVC_CHARTS, "charts of dvc plots"),
    Place(layout.STATES, "states to resume from; finished runs are published from them", saves_time=True),
    Place(layout.CACHE, "latents and generated images of earlier runs", saves_time=True),
    Place(Path(".dvc/cache"), "DVC's copies of all outputs of all runs"),
    Place(Path(".dvc/tmp/exps"), "temporary copies of queued experiments"),
)
# kept in git beside what runs write there
KEPT = (".gitignore",)


def size_bytes(path: Path) -> int:
    """Returns the bytes of a file or of all files under a folder; links count as nothing."""
    if path.is_symlink() or not path.exists():
        return 0
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file() and not file.is_symlink())


def show(root: Path) -> list[str]:
    """Lists the places that exist, largest first.

    Args:
        root: The repository.

    Returns:
        A line for each, and one for the sum.
    """
    sizes = [(size_bytes(root / place.path), place) for place in PLACES]
    lines = [
        f"{size / MEGABYTE:9.1f} MB  {place.path.as_posix():<18} {place.what}"
        for size, place in sorted(sizes, key=lambda pair: -pair[0])
        if size
    ]
    return [*lines, f"{sum(size for size, _ in sizes) / MEGABYTE:9.1f} MB  in all"]


def remove(root: Path, places: tuple[Place, ...]) -> int:
    """Deletes places.

    Args:
        root: The repository.
        places: What to delete.

    Returns:
        The bytes that were freed.

    Raises:
        StateLockedError: A training is running; nothing is deleted.
    """
    _refuse_while_training(root)
    freed = 0
    for place in places:
        path = root / place.path
        freed += size_bytes(path)
        if path.is_dir() and not path.is_symlink():
            for entry in sorted(path.iterdir()):
                if entry.name not in KEPT:
                    shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        else:
            path.unlink(missing_ok=True)
    return freed


def _refuse_while_training(root: Path) -> None:
    for lock in sorted((root / layout.STATES).glob("**/lock")):
        with lock.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StateLockedError(f"{lock.parent}: a training is running; wait for it or end it") from error


@one_line("disk")
def main() -> None:
    """Shows or deletes.

    Raises:
        SystemExit: The words are none of the command's, or a training is running.
    """
    parser, root = command_line("disk", __doc__), work_root()
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("show", help="each place and its size (default)")
    actions.add_parser("clean-states", help="delete what only saves time")
    forget = actions.add_parser("forget", help="delete the photos and all that was made from them")
    forget.add_argument("--yes", action="store_true", help="it is meant")
    wanted = parser.parse_args()
    if wanted.action == "clean-states":
        freed = remove(root, tuple(place for place in PLACES if place.saves_time))
        print(f"freed {freed / MEGABYTE:z.1f} MB; the next run computes anew what it needs, to the same bytes")
    elif wanted.action == "forget":
        if not wanted.yes:
            names = ", ".join(str(place.path) for place in PLACES if place.personal)
            forget.error(f"forget deletes {names}, for good: say `forget --yes`")
        freed = remove(root, tuple(place for place in PLACES if place.personal))
        print(f"deleted {freed / MEGABYTE:z.1f} MB: photos, and all that was made from them.\n{FORGET_LEFT}")
    else:
        print("\n".join(show(root)))


if __name__ == "__main__":
    main()
