"""A copy of the project, small enough to run in a test, as a user would have it after cloning."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SMALL = """
train:
  steps: 12
  checkpoint_every: 6
  save_every: 2
  val_every: 6

validation_args:
  num_lone_images: 3
  num_inference_steps: 2
"""


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
    """Copies what git tracks or would track, makes the model train for a few steps, and commits it."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True
    ).stdout.splitlines()
    for name in names:
        if (ROOT / name).is_file() and not name.startswith(("dvc.lock", "metrics/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    tiny = folder / "configs/model/tiny.yaml"
    tiny.write_text(tiny.read_text().split("\ntrain:")[0] + SMALL)
    defaults = folder / "configs/config.yaml"
    defaults.write_text(defaults.read_text().replace("- model: tabletop", "- model: tiny"))
    run(folder, "python", "-m", "src.stages.config", "write")
    run(folder, "python", "-m", "src.commands.plots_template")
    run(folder, "git", "init", "-q")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "start")
    run(folder, "dvc", "pull", "-q", "data/raw", "models/tabletop")
    return folder


def pull_models(folder):
    """Brings models/tabletop into a folder, as `dvc pull` does in a fresh clone."""
    for name in (".dvc/config", "models/tabletop.dvc"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    # the shipped remote is DVC's view of a repository, which has a commit
    shutil.copytree(ROOT / "dvc_storage", folder / "dvc_storage")
    run(folder, "git", "init", "-q")
    run(folder, "git", "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "empty")
    run(folder, "dvc", "pull", "-q", "models/tabletop")
    return folder
