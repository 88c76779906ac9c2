"""Kills `dvc repro` at random moments and compares every output with an uninterrupted run's: `make soak KILLS=60`.

Ways to be interrupted, in turn: dvc alone, so that an orphan is left (with other parameters, where a stage has a seed);
a second `dvc repro` beside the first; the stage alone; both. Then `dvc repro`, after `make mend` if it refuses.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import psutil
import yaml

from tests.integration.project import environment, make_project, run, start
from tests.integration.small_project import photograph

WAYS = ("orphan", "second", "stage", "both")
# what an orphan's run had otherwise, before the run that follows
SEEDS = {"train": "seed", "split": "split.seed", "generate": "validation_args.seed"}


@dataclass(frozen=True)
class Result:
    """What one kill led to.

    Attributes:
        stage: Which was running.
        way: How it was interrupted.
        moment_s: After the start of dvc.
        mended: What `make mend` had to remove.
        different: Outputs that are not those of an uninterrupted run.
    """

    stage: str
    way: str
    moment_s: float
    mended: list[str]
    different: list[str]


def outputs(project: Path) -> dict[str, str]:
    """Hashes all that stages write, and dvc.lock."""
    files = [project / "dvc.lock"]
    for name in ("data", "metrics", "models/adapter"):
        files += [p for p in (project / name).rglob("*") if p.is_file() and "raw" not in p.parts]
    return {
        path.relative_to(project).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in files
        if not any(part.startswith(".") for part in path.relative_to(project).parts)
    }


def soak(project: Path, kills: int, seed: int, durations_s: dict[str, float]) -> Iterator[Result]:
    """Interrupts a finished project again and again.

    Args:
        project: After its `dvc repro`.
        kills: How often.
        seed: Of moments, ways and stages.
        durations_s: Which stages may be hit, and about how long each takes.

    Yields:
        A result for each kill.
    """
    want = outputs(project)
    for number in range(kills):
        chance = random.Random(f"{seed} {number}")
        stage, way = chance.choice(list(durations_s)), WAYS[number % len(WAYS)]
        if chance.random() < 0.5:  # else the run after the kill may take what an earlier round kept
            for name in (".train_state", ".cache"):
                shutil.rmtree(project / name, ignore_errors=True)
        moment_s = strike(project, stage, way, chance, durations_s[stage])
        flags = chance.choice(([], ["--no-run-cache"]))
        mended = repro(project, flags)
        time.sleep(0.5)  # for what an orphan may still write
        have = outputs(project)
        different = sorted(name for name in want.keys() | have.keys() if want.get(name) != have.get(name))
        yield Result(stage, way, moment_s, mended, different)


def strike(project: Path, stage: str, way: str, chance: random.Random, duration_s: float) -> float:
    """Starts a stage and interrupts it; returns after how many seconds."""
    while True:
        moment_s = chance.uniform(0, duration_s)
        with other_seed(project, stage, way):
            first = launch(project, "dvc", "repro", "-f", "-s", stage)
            time.sleep(moment_s)
            if first.poll() is not None:  # too late: once more
                continue
            second = launch(project, "dvc", "repro") if way == "second" else None
            if second is not None:
                time.sleep(chance.uniform(0, duration_s / 2))
            kill(first, chance.choice(("orphan", "both")) if way == "second" else way)
            first.wait()
            if second is not None:
                second.wait()
        return moment_s


def kill(dvc: "subprocess.Popen[bytes]", way: str) -> None:
    """Kills dvc, what it started, or both, as kill -9 does."""
    try:
        parent = psutil.Process(dvc.pid)
        started = parent.children(recursive=True)
        victims = {"orphan": [parent], "stage": started or [parent], "both": [parent, *started]}[way]
        for victim in victims:
            victim.kill()
    except psutil.NoSuchProcess:  # it ended just now
        return


@contextmanager
def other_seed(project: Path, stage: str, way: str) -> Iterator[None]:
    """Gives params.yaml another seed for the run that leaves an orphan."""
    params = project / "params.yaml"
    text = params.read_text()
    if way == "orphan" and stage in SEEDS:
        values = yaml.safe_load(text)
        *groups, name = SEEDS[stage].split(".")
        node = values
        for group in groups:
            node = node[group]
        node[name] += 1
        params.write_text(yaml.safe_dump(values, sort_keys=False))
    try:
        yield
    finally:
        params.write_text(text)


def repro(project: Path, flags: list[str]) -> list[str]:
    """Runs the pipeline to its end; mends the working copy when it refuses."""
    result = run(project, "dvc", "repro", *flags, check=False)
    if result.returncode == 0:
        return []
    mended = run(
        project, "python", "-B", "-X", "pycache_prefix=/nowhere", "-m", "src.commands.mend"
    ).stdout.splitlines()
    print(result.stdout[-1500:], *mended, sep="\n", flush=True)
    run(project, "dvc", "repro", *flags)
    return mended


def launch(project: Path, *command: str) -> "subprocess.Popen[bytes]":
    with (project / "soak.log").open("ab") as log:
        return subprocess.Popen(command, cwd=project, env=environment(), stdout=log, stderr=log)


def make_small_project(folder: Path) -> Path:
    """Copies the project with eight small photos instead of its own, which are none of DVC's."""
    make_project(folder)
    shutil.rmtree(folder / "data/raw")
    (folder / "data/raw.dvc").unlink()
    (folder / "data/raw").mkdir()
    for number in range(8):
        photograph(folder / f"data/raw/IMG_{number}.png", number)
    defaults = folder / "configs/config.yaml"
    defaults.write_text(defaults.read_text().replace("- cropper: salient", "- cropper: centre"))
    run(folder, "python", "-m", "src.stages.config", "write")
    (folder / ".gitignore").write_text((folder / ".gitignore").read_text() + "/soak.log\n")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "small")
    return folder


def first_run(project: Path) -> dict[str, float]:
    """Runs the pipeline without interruption; returns how long each stage took, with DVC's own start."""
    began, marks = time.monotonic(), []
    process = start(project, "dvc", "repro")
    assert process.stdout is not None, "a pipe"
    for line in process.stdout:
        if line.startswith("Running stage"):
            marks.append((line.split("'")[1], time.monotonic()))
    assert process.wait() == 0
    ends = [moment for _, moment in marks[1:]] + [time.monotonic()]
    to_start_s = marks[0][1] - began
    return {
        stage: end - moment + to_start_s
        for (stage, moment), end in zip(marks, ends, strict=True)
        if stage not in ("config",)
    }


def main() -> None:
    """Makes a project, kills, and says how often the outputs were the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = make_small_project(Path(folder))
        durations_s = first_run(project)
        print(", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in durations_s.items()), flush=True)
        results, began = [], time.monotonic()
        for result in soak(project, wanted.kills, wanted.seed, durations_s):
            results.append(result)
            verdict = "different: " + ", ".join(result.different[:5]) if result.different else "same"
            mended = f", after make mend ({'; '.join(result.mended)})" if result.mended else ""
            print(
                f"{len(results):3} {result.stage:12} {result.way:6} after {result.moment_s:5.1f} s: {verdict}{mended}",
                flush=True,
            )
    same = sum(not result.different for result in results)
    ways = ", ".join(f"{way} {count}" for way, count in sorted(Counter(result.way for result in results).items()))
    minutes = (time.monotonic() - began) / 60
    print(
        f"{same} of {len(results)} the same ({ways}), {sum(bool(r.mended) for r in results)} mended, {minutes:.0f} min"
    )
    sys.exit(same < len(results))


if __name__ == "__main__":
    main()
