"""Commands of src.commands that need more than small words."""

import shlex
import shutil
from collections.abc import Callable
from contextlib import chdir
from functools import lru_cache
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from src.core.config import load_config
from tests.docs.markdown import ROOT
from tests.docs.project import Place, run_module
from tests.docs.twins import small

# with fewer, runs are not compared half against half
FEW_SEEDS = 4


def run_for_other_tools(name: str, words: list[str], place: Place) -> None:
    """Runs with the tiny base; stages in this process, which knows it; no dvc.lock says what made the adapter."""
    from src.commands import judge

    settings = small([], place.project)
    place.repro(settings)
    idle = judge.idle_settings(settings, {word.partition("=")[0] for word in settings})
    read = [word for word in settings if word.partition("=")[0] not in idle]
    own = {"export_lora": [word for word in settings if word.startswith("model.id=")], "judge": read}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "run_apart", lambda _call, folder, _environment: in_folder(folder, judge.run_stages))
        if name == "verify":
            with pytest.raises(SystemExit, match="1"):
                run_module("src.commands.verify", words)
        else:
            run_module(f"src.commands.{name}", [*words, *own[name]])


def in_folder(folder: Path, run: Callable[[bool], None]) -> int:
    """Runs there."""
    with chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["judge"])
        run(False)
    return 0


def run_seeds(words: list[str], place: Place) -> None:
    """Plans, finds and compares for real; each training, a documented command itself, is a copy of the finished run."""
    from src.commands import seeds, trials

    if "--seeds" in words:
        index = words.index("--seeds") + 1
        listed = words[index].split(",")
        words[index] = ",".join(listed[:FEW_SEEDS]) if listed[1:] else str(min(int(words[index]), FEW_SEEDS))
    composed = lru_cache(lambda settings: load_config([*small([], place.project), *settings]))

    def copy_run(trial: trials.Trial) -> int:
        shutil.copytree("run_a", trial.name)
        *settings, seed = trial.overrides
        params = composed(tuple(settings))
        params.seed = int(seed.removeprefix("seed="))
        Path(trial.name, "params.yaml").write_text(OmegaConf.to_yaml(params))
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seeds, "run_experiment", copy_run)
        patch.setattr(trials, "project_content", lambda: shlex.join(words))
        patch.setattr(seeds, "finished_experiments", set)
        run_module("src.commands.seeds", words)


def run_subjects(words: list[str], place: Place) -> None:
    """Prepares, tells and compares for real; the stages of a subject, which are the project's, are a finished run."""
    from src.commands import subject_jobs, subjects
    from src.commands.subject_folders import PIPELINE
    from src.commands.subject_results import MEASURES, ending

    names, folder = ("dog3", "toy"), place.project / "subjects"
    shutil.copyfile(ROOT / PIPELINE, place.project / PIPELINE)
    for name in names:
        (folder / name / "raw").mkdir(parents=True, exist_ok=True)
        (folder / name / "subject.yaml").write_text("class_name: toy\n")
        (folder / name / "log.txt").write_text(ending(0))
        shutil.copytree("run_a/metrics", folder / name / "metrics", dirs_exist_ok=True)
        shutil.copyfile("run_a/params.yaml", folder / name / "params.yaml")
    entry = {"cmd": "python -m src.stages.evaluate"}
    lock = {"schema": "2.0", "stages": {f"{MEASURES}@{name}": entry for name in names}}
    (folder / "dvc.lock").write_text(OmegaConf.to_yaml(lock))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subjects, "run_subject", lambda *_: 0)
        # the twin of a cluster takes every job, and has none that waits
        patch.setattr(subject_jobs, "_ask", lambda program, *_: "1\n" if program == "sbatch" else "")
        shown = (ROOT / "docs/scale.md").read_text().partition("```yaml\n")[2].partition("```")[0]
        Path("cluster.yaml").write_text(shown)
        run_module("src.commands.subjects", ["--table"])
        if words[:1] == ["--status"]:
            run_module("src.commands.subjects", ["--slurm", "cluster.yaml"])
        patch.setattr(subjects, "_earlier_table", lambda *_: (folder / "table.csv").read_bytes())
        run_module("src.commands.subjects", words)


def run_plan(words: list[str], place: Place) -> None:
    """Measures the tiny base; of several subjects one is counted."""
    from src.commands import method_cost, plan

    flags = [word for word in words if word.startswith("--")]
    settings = small([word for word in words if word not in flags], place.project)
    if flags:
        folder = place.project / "subjects/dog3"
        (folder / "raw").mkdir(parents=True, exist_ok=True)
        (folder / "subject.yaml").write_text("class_name: dog\n")
        settings = [word for word in settings if not word.startswith("subject")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(method_cost, "WARM_UP", 1)
        patch.setattr(plan, "UPDATES", 1)
        run_module("src.commands.plan", [*settings, *flags])
