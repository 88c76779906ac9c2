"""Runs one documented command, or says that it knows no way to."""

import io
import re
import shlex
import shutil
from collections.abc import Callable
from contextlib import chdir, redirect_stderr
from functools import partial
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from src.core.config import INFERENCE, load_config, unread_keys
from src.core.own_prompts import wants_own_prompts
from src.core.pretraining_config import trains_from_noise
from tests.docs.markdown import ROOT, Command
from tests.docs.own_commands import run_for_other_tools, run_plan, run_seeds, run_subjects
from tests.docs.project import STAGES, Place, run_module
from tests.docs.twins import RUNS, fill_in, small, small_pretraining

PACKAGES = ("src.stages.", "src.commands.")
# modules that look at the project they lie in: run in the clone, as a person would
OF_THE_CLONE = ("config", "disk", "mend", "remote")


def run_command(command: Command, place: Place) -> None:
    """Runs a command or its twin."""
    words = [fill_in(word, place.project, place.home) for word in command.words]
    program, rest = words[0], words[1:]
    runner = RUNNERS.get(program)
    if runner is None:
        raise AssertionError(f"{command.where}: no way to run `{command.text}`; see tests/docs/run.py")
    with chdir(place.project):
        runner(command, rest, place)


def require(command: Command, need: str) -> None:
    """Demands the marker of what cannot be run here as it is written."""
    marked = command.in_comment or need in command.needs
    assert marked, f"{command.where}: `{command.text}` lacks the marker <!-- needs: {need} -->"


def staged(command: Command, overrides: list[str], place: Place) -> list[str]:
    """Returns the overrides of a pipeline's command in small; what is laid over them must be marked."""
    if "train.mixed_precision=fp16" in overrides:  # accelerate scales gradients on CUDA only
        require(command, "gpu")
    if any(word.startswith("tracker=") and ("clearml" in word or "wandb" in word) for word in overrides):
        require(command, "server")
    return small(overrides, place.project)


def of_stage(stage: str, command: Command, overrides: list[str], place: Place) -> list[str]:
    """Returns the overrides of one stage: of what is laid over them, what it reads; it refuses the rest."""
    words = staged(command, overrides, place)
    laid_over = words[len(overrides) :]
    chosen = [word for word in overrides if re.fullmatch(r"\w+=\w+", word)]
    unread = set(unread_keys(stage, [*chosen, *laid_over])) if laid_over else set()
    if any(word.startswith(("seeds=", "exp.from_image=")) for word in overrides):
        unread.add("validation_args.num_images_per_prompt")
    return [*overrides, *(word for word in laid_over if word.partition("=")[0] not in unread)]


def run_dvc(command: Command, words: list[str], place: Place) -> None:
    """Stages run in this process; what else DVC does, in the clone."""
    copied = {"--queue", "--temp", "--no-hydra", "-f"} & set(words)
    if not copied and (words[:2] == ["exp", "run"] or words[0] == "repro"):
        overrides = [words[index + 1] for index, word in enumerate(words[:-1]) if word == "-S"]
        if "metrics=faces_insightface" in overrides:
            # not installed, and its weights are not ours to use: the stage check says what is missing
            require(command, "network")
            refused("uv pip install insightface", lambda: place.repro(staged(command, overrides, place)))
        else:
            with_libraries(staged(command, overrides, place), place.repro)
        return
    if words[0] in ("checkout", "pull"):  # what a person put into data/raw since is recorded first, as any run does
        place.dvc("repro", "-q")
        place.dvc("push", "-q")
    if words == ["queue", "start"]:
        place.dvc("queue", "remove", "--all")
        place.dvc("queue", "start")
        return
    if len(words) == 1 and words[0] in ("metrics", "plots"):
        words = [*words, "show"]
    if words[0] == "add":
        (place.clone / words[1]).mkdir(parents=True, exist_ok=True)
    if words[:3] == ["remote", "add", "-d"]:
        words = [*words, "-f"]
    place.dvc(*words)


def refused(message: str, run: Callable[[], None]) -> None:
    """Demands that a command ends with this message."""
    said = io.StringIO()
    with redirect_stderr(said), pytest.raises(SystemExit, match="1"):
        run()
    assert re.search(message, said.getvalue()), said.getvalue()


def with_libraries(overrides: list[str], run: Callable[[list[str]], None]) -> None:
    """Runs in small; where a library that is installed apart is missing, the run has to say how to get it."""
    asks = any(word.startswith(("train.quantize=", "memory=")) for word in overrides)
    if asks and load_config(overrides).train.quantize != "none" and find_spec("bitsandbytes") is None:
        refused("uv pip install bitsandbytes", lambda: run(overrides))
    else:
        run(overrides)


def run_python(command: Command, words: list[str], place: Place) -> None:
    """Our modules run in this process, in small."""
    if words[0] == "pretrain.py" or (words[0] == "train.py" and trains_from_noise(words[1:])):
        run_module("src.stages.pretraining", small_pretraining(words[1:]))
    elif words[0] in ("train.py", "inference.py") and "--help" in words:
        run_module("src.stages.train", words[1:])
    elif words[0] in ("train.py", "inference.py"):
        own = words[0] == "inference.py" and wants_own_prompts(words[1:])
        stage = "train" if words[0] == "train.py" else INFERENCE if own else "generate"
        if own and not any(word.startswith("inferencer.ckpt_dir=") for word in words):
            # with the adapter of the finished run, whatever was trained since
            place.repro(small([], place.project))
        with_libraries(of_stage(stage, command, words[1:], place), partial(run_module, f"src.stages.{stage}"))
    elif words[0] == "-m" and words[1].startswith(PACKAGES):
        run_own_module(command, words[1], words[2:], place)
    elif words[:2] == ["-m", "pytest"]:
        assert "python -m pytest" in (ROOT / "Makefile").read_text()
    elif words == ["-m", "benchmarks"]:
        require(command, "hours")
        assert all(find_spec(f"benchmarks.{file.stem}") for file in (ROOT / "benchmarks").glob("bench_*.py"))
    elif words[0] == "-m" and words[1].startswith("benchmarks."):
        require(command, "gpu" if words[1].endswith("real_size") else "hours")
        check_options(words[1], words[2:])
    else:
        raise AssertionError(f"{command.where}: no way to run `{command.text}`; see tests/docs/run.py")


def check_options(module: str, words: list[str]) -> None:
    """Of what takes hours: the module is a command and has the options."""
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
    assert "def main(" in source, module
    assert all(f'"{word}"' in source for word in words if word.startswith("--")), words


def run_own_module(command: Command, module: str, words: list[str], place: Place) -> None:
    """Runs a stage or a command of src.commands."""
    name = module.rpartition(".")[2]
    if name == "remote" and words[0] == "init":
        # the twin of a server is a folder, which asks for no name or password
        words = [word for word in words if not word.startswith(("user=", "password=", "port="))]
    if words[:1] == ["audit"]:
        place.dvc("push", "-q")
    if words[:1] == ["forget"]:
        forgotten = place.home / "forgotten"
        shutil.copytree(place.clone, forgotten, symlinks=True)
        place.shell(shlex.join(["python", "-m", module, *words]), forgotten)
        assert not (forgotten / "data/raw/sample").exists()
    elif name in OF_THE_CLONE:
        place.shell(shlex.join(["python", "-m", module, *words]))
    elif name == "compare" and words:
        run_module(
            module,
            [",".join(RUNS.get(run, run) for run in word.split(",")) for word in words],
        )
    elif name == "ui" or (name in ("fetch", "verify_weights", "compare") and not words):
        # a server, which tests/ui runs; or, in the text, the name of a command that stands with its words elsewhere
        check_options(module, words)
    elif name in ("fetch", "verify_weights"):
        require(command, "network")
        refused("HF_HUB_OFFLINE forbids to fetch it|src.commands.fetch", lambda: run_module(module, words))
    elif name == "pretraining_sample":
        words = [
            *words[:1],
            str(place.home / words[1].replace("/", "-") / Path(command.where.replace(":", "-")).name),
            *words[2:],
        ]
        words[words.index("--each") + 1] = "1"
        run_module(module, [*words, "--steps", "2"])
    elif name == "seeds":
        run_seeds(words, place)
    elif name == "subjects":
        run_subjects(words, place)
    elif name == "plan":
        run_plan(words, place)
    elif name in ("export_lora", "verify", "judge"):
        run_for_other_tools(name, words, place)
    elif name.startswith(("tabletop_", "method")) or name == "sample_photos":
        require(command, "hours")
        check_options(module, words)
    else:
        run_module(module, of_stage(name, command, words, place) if name in STAGES else words)


def run_launcher(command: Command, words: list[str], place: Place) -> None:
    """The launcher's own parser reads its options; what it would start several times is run once."""
    if "--multi_gpu" in words:
        require(command, "gpu")
    if command.text.startswith("accelerate"):
        from accelerate.commands.launch import launch_command_parser

        read = launch_command_parser().parse_args(words[1:])
    else:
        from torch.distributed.run import get_args_parser

        read = get_args_parser().parse_args(words)
    program = (["-m"] if read.module else []) + [read.training_script]
    run_python(command, [*program, *read.training_script_args], place)


def run_make(command: Command, words: list[str], place: Place) -> None:
    """Every target exists, and what its recipe runs of ours is there; each of those commands has its own tests."""
    shown = place.shell(shlex.join(["make", "-n", "-o", "env", "-o", ".venv/bin/.complete", *words]), ROOT)
    for line in shown.splitlines():
        recipe = shlex.split(line, comments=True) if "'" not in line else []
        if recipe[:2] == ["python", "-m"]:
            assert find_spec(recipe[2]) is not None, line


def run_in_shell(command: Command, words: list[str], place: Place) -> None:
    """Plain commands of a shell run in the clone; what copies from a run, where the default run is."""
    text = fill_in(command.text, place.project, place.home)
    if command.words[0] == "cp" and command.words[-2].startswith("models/"):
        place.repro(small([], place.project))
        place.shell(text, place.project)
        return
    if words and command.words[0] == "git" and words[0] == "commit":
        text += " --allow-empty"
    place.shell(text)


def check_unpacking(command: Command, words: list[str], place: Place) -> None:
    """What is not ours is not unpacked: the folder is the one that a configuration reads."""
    require(command, "network")
    folder = words[words.index("-d") + 1]
    assert any(folder in file.read_text() for file in (ROOT / "configs").rglob("*.yaml")), folder


def check_tool(command: Command, words: list[str], place: Place) -> None:
    """Checkers read the whole project and are run by `make lint`, which must have the same words."""
    assert command.text in (ROOT / "Makefile").read_text(), (
        f"{command.where}: `{command.text}` is not part of make lint"
    )


def check_install(command: Command, words: list[str], place: Place) -> None:
    """Nothing is installed: the files that are named exist, the packages are well-formed."""
    words = [word for word in words if word not in ("pip", "install", "uninstall", "compile")]
    if words:
        require(command, "network")
    for before, word in zip(["", *words], words, strict=False):
        if before == "-r":
            assert (ROOT / word).is_file(), word
        elif not word.startswith("-"):
            Requirement(word)


def check_service(command: Command, words: list[str], place: Place) -> None:
    """Programs of trackers: those that are installed exist by that name; the others say how to get them."""
    if command.words[0] != "tensorboard":
        require(command, "server")
    known = {point.name for point in entry_points(group="console_scripts")}
    program = command.words[0]
    assert program in known or f"uv pip install {program}" in (ROOT / command.where.split(":")[0]).read_text()


RUNNERS: dict[str, Callable[[Command, list[str], Place], None]] = {
    "dvc": run_dvc,
    "python": run_python,
    "accelerate": run_launcher,
    "torchrun": run_launcher,
    "make": run_make,
    **dict.fromkeys(("cd", "cp", "git", "mkdir", "rm", "source"), run_in_shell),
    **dict.fromkeys(("lint-imports", "mypy", "pydoclint", "ruff"), check_tool),
    **dict.fromkeys(("pip", "uv"), check_install),
    "unzip": check_unpacking,
    **dict.fromkeys(("clearml-init", "clearml-task", "tensorboard", "wandb"), check_service),
}
