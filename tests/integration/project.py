"""A copy of the project, small enough to run in a test, as a user would have it after cloning."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from tests.tiny.models import PLACE, build_tiny, copy_choices

ROOT = Path(__file__).resolve().parents[2]
SMALL = """
train:
  steps: 12
  checkpoint_every: 6
  save_every: 2
  val_every: 6

validation_args:
  num_subject_only_images: 3
  num_inference_steps: 2
"""
FEW_PROMPTS = """# A few.
dev:
  - {id: rug, group: recontext, text: "a {subject} on a rug"}
  - {id: bed, group: recontext, text: "a {subject} in bed"}
test:
  - {id: snow, group: recontext, text: "a {subject} in the snow"}
  - {id: art, group: style, text: "a {subject} as art"}
"""
# of the photos that come with the project every third
PHOTOS = slice(None, None, 3)


def environment() -> dict[str, str]:
    """The environment of a user who has activated the virtual environment, without network."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "GIT_", "PYTEST_"))}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
        "HF_HUB_OFFLINE": "1",
        "DVC_NO_ANALYTICS": "1",
        "GIT_AUTHOR_NAME": "t",
        "GIT_AUTHOR_EMAIL": "t@example.invalid",
        "GIT_COMMITTER_NAME": "t",
        "GIT_COMMITTER_EMAIL": "t@example.invalid",
    }


def run(folder: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs a command in the project; its output is shown when it fails."""
    result = subprocess.run(
        command, cwd=folder, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if check and result.returncode:
        raise AssertionError(f"{' '.join(command)} exited with {result.returncode}:\n{result.stdout[-6000:]}")
    return result


def start(folder: Path, *command: str) -> subprocess.Popen[str]:
    """Starts a command in the project."""
    return subprocess.Popen(
        command, cwd=folder, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def make_project(folder: Path) -> Path:
    """Copies what git tracks or would track, makes it a matter of few steps, prompts and photos, and commits it."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True
    ).stdout.splitlines()
    for name in names:
        if (ROOT / name).is_file() and not name.startswith(("dvc.lock", "metrics/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    copy_choices(folder / "configs")
    tiny = folder / "configs/model/tiny.yaml"
    tiny.write_text(tiny.read_text().split("\ntrain:")[0] + SMALL)
    defaults = folder / "configs/config.yaml"
    defaults.write_text(defaults.read_text().replace("- model: tabletop", "- model: tiny"))
    (folder / "configs/prompts/object.yaml").write_text(FEW_PROMPTS)
    run(folder, "python", "-m", "src.stages.config", "write")
    run(folder, "python", "-m", "src.commands.plots_template")
    run(folder, "git", "init", "-q")
    run(folder, "git", "commit", "-q", "--allow-empty", "-m", "empty")
    run(folder, "dvc", "pull", "-q", "data/raw")
    photos = sorted((folder / "data/raw").iterdir())
    for photo in set(photos) - set(photos[PHOTOS]):
        photo.unlink()
    build_tiny(folder / PLACE)
    graph = folder / "dvc.yaml"
    graph.write_text(graph.read_text().replace("models/tabletop", str(PLACE)))
    (folder / "models/tabletop.dvc").unlink()  # nothing here needs them, and `dvc checkout` asks for what is tracked
    run(folder, "dvc", "add", "-q", "data/raw", str(PLACE))
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "start")
    return folder


def made_once(shared: Path, name: str, make: Callable[[Path], object]) -> Path:
    """Makes a folder; of several processes that ask for it one does so, the others wait.

    Args:
        shared: A folder of all these processes.
        name: The folder's.
        make: Fills it.

    Returns:
        The folder, which nobody may make anew.
    """
    folder, done = shared / name, shared / f"{name}.done"
    with (shared / f"{name}.held").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not done.is_file():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def finished_project(shared: Path, name: str, repro: Callable[[Path], object]) -> tuple[Path, Path]:
    """Copies the small project and makes its first `dvc repro`.

    Args:
        shared: A folder of all processes that run these tests.
        name: The copy's.
        repro: Runs `dvc repro` there.

    Returns:
        The project, and its dvc.lock as the first run left it.
    """
    clean, lock = made_once(shared, "clean", make_project), shared / f"{name}-dvc.lock"

    def finish(folder: Path) -> None:
        shutil.copytree(clean, folder, symlinks=True, dirs_exist_ok=True)
        repro(folder)
        shutil.copyfile(folder / "dvc.lock", lock)

    return made_once(shared, name, finish), lock


def pull_models(folder: Path) -> None:
    """Brings models/tabletop into a folder, as `dvc pull` does in a fresh clone."""
    for name in (".dvc/config", "models/tabletop.dvc"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    # the shipped remote is DVC's view of a repository, which has a commit
    shutil.copytree(ROOT / "dvc_storage", folder / "dvc_storage")
    run(folder, "git", "init", "-q")
    run(folder, "git", "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "empty")
    run(folder, "dvc", "pull", "-q", "models/tabletop")


def hashes(folder: Path) -> dict[str, str]:
    """Every file of a folder."""
    return {
        p.relative_to(folder).as_posix(): sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }
