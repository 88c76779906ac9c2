"""The promises that outlive an interruption: stop anywhere, start again: the same bytes."""

import random
import shutil
import time
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

from tests.integration import soak as soak_module
from tests.integration.project import hashes, run
from tests.integration.soak import soak
from tests.integration.warm import LOG, run_warm, start_warm

pytestmark = pytest.mark.slow
TRAIN = ("python", "train.py", "exp.config_path=params.yaml", "tracker=none")


@pytest.fixture(scope="module")
def project(second_copy):
    return second_copy[0]


def state_of(project: Path) -> list[int]:
    """Identifies the saved states; a new one is a new file."""
    return [p.stat().st_mtime_ns for p in project.glob(".train_state/*/state.safetensors")]


def test_five_kills_give_the_bytes_of_no_kill(project):
    """Kills what the stage runs at random points of training; the state outlives every one of them."""
    command = (*TRAIN, "train.steps=30", "train.checkpoint_every=10")
    run_warm(project, *command, "exp.run_dir=outputs/whole")
    shutil.rmtree(project / ".train_state")
    chance = random.Random(0)
    for _ in range(5):
        process = start_warm(project, *command, "exp.run_dir=outputs/killed")
        saves, last = chance.randint(1, 2), state_of(project)
        while saves and process.is_alive():
            saves -= state_of(project) != last
            last = state_of(project)
            time.sleep(0.001)
        time.sleep(chance.uniform(0.0, 0.15))
        assert process.is_alive(), "the run ended before it could be killed"
        process.kill()
        process.join()
    run_warm(project, *command, "exp.run_dir=outputs/killed")
    whole, killed = (hashes(project / "outputs" / name) for name in ("whole", "killed"))
    assert len(whole) == 3 * 2 + 2
    assert whole == killed


def run_again(project, *command, check=True):
    """Runs what follows a kill, and has to make all whole again, by processes that do not start from nothing."""
    if command[0] != "dvc":
        return run(project, *command, check=check)
    process = start_warm(project, *command)
    process.join()
    assert process.exitcode == 0 or not check
    return CompletedProcess(command, process.exitcode, (project / LOG).read_text())


def test_orphans_and_second_runs_change_nothing(project, monkeypatch):
    """Three of what `make soak` does at length: an orphaned train with another seed, a second dvc, a killed stage."""
    monkeypatch.setattr(soak_module, "run", run_again)
    results = list(soak(project, 3, 6, {"split": 3.0, "train": 8.0}))
    assert [(result.stage, result.way) for result in results] == [
        ("train", "orphan"),
        ("split", "second"),
        ("train", "stage"),
    ]
    assert not [result for result in results if result.different]


def test_two_clean_runs_give_the_same_lock_file(first_copy, second_copy):
    locks = [yaml.safe_load(lock.read_text()) for _, lock in (first_copy, second_copy)]
    for stage in locks[0]["stages"]:
        assert locks[0]["stages"][stage] == locks[1]["stages"][stage], stage
    assert set(locks[0]["stages"]) == set(yaml.safe_load((first_copy[0] / "dvc.yaml").read_text())["stages"])
