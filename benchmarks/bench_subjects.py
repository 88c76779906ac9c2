"""Several subjects one after the other on one core, against jobs on two Slurm nodes of a core each; the same bytes.

`python -m benchmarks.bench_subjects [--subjects 12] [--kill]`. One more subject is damaged. With `--kill` a third copy
loses a node in the middle; the cluster is asked once more for what is missing then. Needs slurm-wlm and munge.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import yaml

from benchmarks.common import machine
from tests.integration import slurm
from tests.integration.project import hashes, make_project, run
from tests.integration.test_subjects import add, add_damaged

COMMAND = ("python", "-m", "src.commands.subjects")
# what tells of the runs, not of what they made
OWN = re.compile(r"(.*/)?(log\.txt|jobs\.yaml|.*\.log|.*\.sh|dvc\.lock|slurm-\d+\.txt)")
PHOTOS_EACH = 5


def make_subjects(folder: Path, count: int) -> None:
    """Makes a small project with subjects, each with another few of its photos, and a damaged one."""
    make_project(folder)
    photos = sorted((folder / "data/raw").glob("*.HEIC"))
    for number in range(count):
        add(folder, f"s{number:02}", [photos[(number + one) % len(photos)] for one in range(PHOTOS_EACH)])
        with (folder / f"subjects/s{number:02}/subject.yaml").open("a") as told:
            told.write(f"token: sks{number}toy\n")
    add_damaged(folder, "bad")
    (folder / "cluster.yaml").write_text("")


def made(project: Path) -> dict[str, str]:
    """Returns the hashes of what all subjects made."""
    files = {name: value for name, value in hashes(project / "subjects").items() if not OWN.fullmatch(name)}
    locked = yaml.safe_load((project / "subjects/dvc.lock").read_text())["stages"]
    return files | {name: repr(entry) for name, entry in locked.items()}


def serially(project: Path) -> float:
    """Runs all on one core, and returns the seconds."""
    begun = time.perf_counter()
    run(project, "taskset", "-c", "0", *COMMAND, check=False)
    return time.perf_counter() - begun


def submitted(project: Path, kill_after_s: float | None) -> float:
    """Submits all, waits for the table's job, and returns the seconds; perhaps a node dies meanwhile."""
    begun = time.perf_counter()
    print(run(project, *COMMAND, "--slurm", "cluster.yaml").stdout.splitlines()[-1], flush=True)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        slurm.lose_node("n1")
        print("n1 is lost", flush=True)
    slurm.wait_until(lambda: not slurm.said("squeue", "--noheader"), 3600)
    return time.perf_counter() - begun


def compare(serial: Path, other: Path) -> str:
    """Says whether two projects made the same."""
    sides = made(serial), made(other)
    differing = [name for name in sorted(sides[0].keys() | sides[1].keys()) if sides[0].get(name) != sides[1].get(name)]
    return f"{len(sides[0])} files and locked stages, {len(differing)} differ {differing[:5]}"


def main() -> None:
    """Prints the wall times and what differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=12)
    parser.add_argument("--kill", action="store_true")
    wanted = parser.parse_args()
    if slurm.missing():
        sys.exit(slurm.missing())
    os.environ["OMP_NUM_THREADS"] = "1"  # a node has one core
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="s") as folder, ExitStack() as stack:
        place = Path(folder)
        make_subjects(place / "serial", wanted.subjects)
        for name in ("slurm", "killed"):
            shutil.copytree(place / "serial", place / name, symlinks=True)
        (place / "cluster").mkdir()
        slurm.start(place / "cluster", stack)
        two = submitted(place / "slurm", None)
        one = serially(place / "serial")
        print(f"{wanted.subjects} subjects: {one:.0f} s, two nodes {two:.0f} s: {one / two:.2f} times as fast")
        print(compare(place / "serial", place / "slurm"), flush=True)
        if wanted.kill:
            print(f"with a node lost: {submitted(place / 'killed', one / 8):.0f} s")
            print(f"submitted once more: {submitted(place / 'killed', None):.0f} s")
            print(compare(place / "serial", place / "killed"))
        print(run(place / "slurm", *COMMAND, "--table", check=False).stdout)


if __name__ == "__main__":
    main()
