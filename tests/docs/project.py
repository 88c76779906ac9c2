"""Where documented commands run: a project whose stages run in this process, and a clone for DVC and git.

That the declarations of dvc.yaml are right, and that DVC runs the same stages in the same order, is held by
tests/structure and tests/integration/test_pipeline.py.
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
from contextlib import chdir, contextmanager
from functools import cached_property
from pathlib import Path

import torch
import yaml
from omegaconf import OmegaConf

from src.core import layout
from src.core.config import INFERENCE, load_config, to_dict, unread_keys
from tests.docs.markdown import ROOT
from tests.docs.twins import small
from tests.integration.small_project import photograph

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# of the whole graph this only guards params.yaml
GIVEN = ("config",)
# enough of the graph for what DVC and git are asked to do with it
CLONED = ("convert", "train", "evaluate")
# few, because DVC parses the lock file again and again
CLONED_PARAMS = ("lr", "rank", "method")
# these see pictures only, however they were generated: once for each model and set of metrics
MEASURING = {"evaluate": ("model", "metrics"), "report": ("model",)}
COPIED = ("configs", "src", "hydra_plugins", "train.py", "inference.py", "Makefile", ".gitignore", ".dvcignore")
COPIED += (".dvc/config", "data/.gitignore", "models/.gitignore", "params.yaml", "requirements.txt")


@contextmanager
def arguments(*words: str):
    """Sets the command line, and forgets which precision accelerate was started with."""
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    before, sys.argv = sys.argv, ["command", *words]
    try:
        yield
    finally:
        sys.argv = before
        torch.use_deterministic_algorithms(False)


def run_module(name: str, words: list[str]) -> None:
    """Runs a module's main as `python -m` does."""
    with arguments(*words):
        importlib.import_module(name).main()


class Place:
    """A project and a clone; each is made when the first command needs it.

    Args:
        root: An empty folder.
    """

    def __init__(self, root: Path) -> None:
        self.project, self.home = root / "project", root / "home"
        (self.home / "Pictures/my-toy").mkdir(parents=True)
        (self.home / "Pictures/my-toy/IMG_0001.JPG").write_bytes(b"a photo")
        self.done: dict[str, str] = {}
        _prepare(self)

    def repro(self, overrides: list[str]) -> None:
        """Runs the stages whose declared parameters or inputs have changed, in the graph's order."""
        params = load_config(overrides)
        Path("params.yaml").write_text(OmegaConf.to_yaml(params))
        values, keys = to_dict(params), dict.fromkeys(GIVEN, "given")
        for name in _in_order():
            if name in GIVEN:
                continue
            read = MEASURING.get(name, _declared(name))
            above = [] if name in MEASURING else sorted(keys[other] for other in _upstream(name))
            keys[name] = json.dumps([{key: values[key] for key in read}, above], sort_keys=True)
            if self.done.get(name) != keys[name] and not (name in MEASURING and keys[name] in self.done):
                self.done.pop(name, None)
                run_module(f"src.stages.{name}", ["exp.config_path=params.yaml", "exp.run_dir=."])
                self.done |= {name: keys[name], keys[name]: name}

    @cached_property
    def clone(self) -> Path:
        """Where git and DVC run: some stages of dvc.yaml, whose commands only leave files."""
        return _make_clone(self)

    def dvc(self, *words: str) -> None:
        """Runs a command of DVC in the clone, in this process."""
        from dvc.cli import main

        with chdir(self.clone), arguments(*words):
            status = main(list(words))
        assert status == 0, f"dvc {' '.join(words)}: exit status {status}"

    def shell(self, text: str, folder: Path | None = None) -> str:
        """Runs a line, in the clone if no folder is named; shows what it said when it fails."""
        result = subprocess.run(
            ["bash", "-c", text],
            cwd=folder or self.clone,
            env=os.environ | {"GIT_EDITOR": "false"},  # what would wait for a person fails
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert result.returncode == 0, f"{text}: exit status {result.returncode}\n{result.stdout[-3000:]}"
        return result.stdout


def _prepare(place: Place) -> None:
    """Four photos, tiny models, a finished run, two runs to compare, class folders, a training file."""
    from tests.tiny.diffusion import build_diffusion
    from tests.tiny.models import build_tiny
    from tests.tiny.single_file import write_single_file
    from tests.tiny.words import WORDS

    project = place.project
    (project / "data/raw").mkdir(parents=True)
    for number in range(4):
        photograph(project / f"data/raw/IMG_{number}.png", number)
    for name in ("a", "b"):
        (project / "data/class_folders" / name).mkdir(parents=True)
        for number in range(12):
            photograph(project / f"data/class_folders/{name}/{number}.png", number + ord(name))
    (project / "data/captioned").mkdir()
    for number in range(24):
        photograph(project / f"data/captioned/{number}.png", number)
        (project / f"data/captioned/{number}.txt").write_text(f"picture number {number}")
    (project / "train.yaml").write_text("lr: 2.0e-4\n")
    (project / "experiments.yaml").write_text("report:\n  ideas: [a longer run]\n")
    (project / "configs").symlink_to(ROOT / "configs")
    # whole: a process that is started here finds this src first
    (project / "src").symlink_to(ROOT / "src")
    for kind in ("sd1", "sdxl", "sd3", "flux"):
        build_diffusion(project / "models" / kind, kind, list(WORDS), 0)
    write_single_file(project / "models/sd1", project / "models/sd1.safetensors")
    with chdir(project):
        build_tiny()
        place.repro(small([], project))
        for name in ("run_a", "run_b"):
            for part in ("data", "metrics"):
                shutil.copytree(part, Path(name) / part)
            shutil.copyfile("params.yaml", Path(name) / "params.yaml")
        words = small([], project)
        unread = unread_keys("train", words)
        run_module("src.stages.train", [word for word in words if word.partition("=")[0] not in unread])
        _draw_picture(words)


def _draw_picture(words: list[str]) -> None:
    """A picture of the base model, which says how it was made, and prompts to draw."""
    Path("prompts.txt").write_text("a photo of sksToy bear in the snow\na photo of sksToy bear on a rug\n")
    unread = unread_keys(INFERENCE, words)
    read = [word for word in words if word.partition("=")[0] not in unread]
    run_module("src.stages.inference", [*read, "prompt=a bear", "inferencer.weight=0", "exp.run_dir=drawn"])
    [drawn] = Path("drawn", layout.PICTURES, "base").rglob("*.png")
    shutil.copyfile(drawn, "picture.png")


def _make_clone(place: Place) -> Path:
    """One commit on main with a run, a storage that holds the samples, and a remote of one's own."""
    folder = place.project.parent / "clone"
    for name in COPIED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    stages = {name: dict(STAGES[name]) for name in CLONED}
    there = {path for stage in stages.values() for path in _outputs(stage)} | {"data/raw", "models/tabletop"}
    for stage in stages.values():
        stage["cmd"] = " && ".join(_leave(path) for path in _outputs(stage))
        stage["deps"] = [path for path in stage["deps"] if path in there]
        stage["params"] = [key for key in stage.get("params", []) if key in CLONED_PARAMS]
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    shutil.copyfile(place.project / "metrics/metrics.json", folder / "metrics.json")
    for name in ("data/raw", "models/tabletop", "tabletop"):
        (folder / name).mkdir(parents=True)
        (folder / name / "sample").write_text(name)
    (folder / "tabletop/dvc.yaml").write_text("stages: {world: {cmd: echo a world}}\n")
    place.clone = folder
    with chdir(folder):
        run_module("src.commands.plots_template", [])
    place.shell("git init -q -b main && printf '/dvc_storage\\n/.venv\\n/dvc_plots\\n' >> .git/info/exclude")
    place.dvc("add", "-q", "data/raw", "models/tabletop")
    shutil.copytree(folder / ".dvc/cache/files", folder / "dvc_storage/files")
    place.dvc("repro", "-q")
    place.dvc("remote", "add", "-q", "-d", "mine", str(place.home / "mine"))
    place.dvc("remote", "modify", "-q", "mine", "verify", "true")
    place.shell("git add -A && git commit -qm run")
    place.dvc("exp", "run", "-q", "-n", "dora", "-S", "method=dora")
    place.shell("git checkout -q . && git clean -fdq")
    return folder


def _declared(name: str) -> set[str]:
    return {key.split(".")[0] for key in STAGES[name].get("params", []) if isinstance(key, str)}


def _outputs(stage: dict) -> list[str]:
    named = [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
    return [out if isinstance(out, str) else next(iter(out)) for out in named]


def _upstream(name: str) -> list[str]:
    makers = {path: other for other, stage in STAGES.items() for path in _outputs(stage)}
    return [makers[dep] for dep in STAGES[name].get("deps", []) if dep in makers]


def _in_order() -> list[str]:
    order: list[str] = []

    def visit(name: str) -> None:
        for other in (*_upstream(name), name):
            if other not in order:
                visit(other) if other != name else order.append(name)

    for name in STAGES:
        visit(name)
    return order


def _leave(path: str) -> str:
    if path.endswith("metrics.json"):
        return f"mkdir -p {Path(path).parent} && cp metrics.json {path}"
    if Path(path).suffix == ".csv":
        return f"mkdir -p {Path(path).parent} && printf 'step,loss,val_loss,dino,prompt_id\\n1,2,3,4,a\\n' > {path}"
    if Path(path).suffix:
        return f"mkdir -p {Path(path).parent} && echo '{{}}' > {path}"
    return f"mkdir -p {path} && echo content > {path}/file"
