"""Hands subjects to a Slurm cluster: an array with a job for each, and a job that makes the table once all have ended.

`python -m src.commands.subjects --slurm FILE` submits them; `src.commands.subject_run` is what a job runs. All nodes
see this folder and this Python. FILE is YAML, and may be empty:

    options: {partition: gpu, gres: "gpu:1", time: "4:00:00"}    of sbatch, by their long names
    setup: [module load cuda]                                    lines of the shell, before the work
    at_once: 4                                                   jobs at a time
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from src.commands.subject_folders import Subject
from src.commands.subject_results import NOT_RUN, SUBMITTED, why_failed
from src.core import layout
from src.core.config_errors import load_plain
from src.core.errors import ConfigError, PipelineError
from src.core.files import has_file, write_bytes, write_text
from src.core.run_log import COUNTED
from src.core.typed import as_yaml

# the job of each subject, and scripts
JOBS, JOB, TABLE_JOB = (layout.SUBJECTS / name for name in ("jobs.yaml", "job.sh", "table_job.sh"))
OPTION = re.compile(r"[a-z][a-z0-9-]*")
# what the command itself says to sbatch
OURS = ("array", "chdir", "dependency", "output", "parsable", "wrap")
HEAD = """#!/bin/bash
set -e
{setup}
export PATH={bin}:$PATH
"""
SUBJECT = """names=({names})
exec {python} -m src.commands.subject_run "${{names[$SLURM_ARRAY_TASK_ID]}}" {stage}
"""
TABLE = "exec {python} -m src.commands.subjects --table\n"
# of squeue: array, number in it, state, node, time used, reason for waiting
QUEUE_FORMAT = "%F_%K|%T|%N|%M|%r"
# what a table needs no share of
OF_GPUS = ("gres", "gpu", "tres")


@dataclass(frozen=True)
class Cluster:
    """How jobs are submitted.

    Attributes:
        options: Of sbatch, by long name; true has no value.
        setup: Lines of the shell, before the work.
        at_once: Jobs at a time; None leaves it to the cluster.
    """

    options: dict[str, str | bool]
    setup: tuple[str, ...]
    at_once: int | None


def read_cluster(path: Path) -> Cluster:
    """Reads a file as the module's text shows it.

    Args:
        path: The file.

    Returns:
        What it says.

    Raises:
        ConfigError: It is not there, or a value cannot be.
    """
    if not has_file(path):
        raise ConfigError(f"--slurm {path}: no such file")
    said = load_plain(path)
    if unknown := sorted(set(said) - {"options", "setup", "at_once"}):
        raise ConfigError(f"{path}: {unknown[0]}: expected options, setup or at_once")
    options, setup, at_once = said.get("options") or {}, said.get("setup") or [], said.get("at_once")
    if not isinstance(options, dict) or not all(isinstance(key, str) and OPTION.fullmatch(key) for key in options):
        raise ConfigError(f"{path}: options: expected long names of sbatch's options, as in `partition: gpu`")
    for key, value in options.items():  # 4:00:00 is 14400 to YAML, which sbatch takes for minutes
        if value is not True and not (isinstance(value, str) and value):
            raise ConfigError(
                f"{path}: options: {key}: {value}: expected a text, in quotes if YAML takes it for a number, or true"
            )
    if taken := sorted(set(options) & set(OURS)):
        raise ConfigError(f"{path}: options: {taken[0]}: the command says that itself")
    if not isinstance(setup, list) or not all(isinstance(line, str) for line in setup):
        raise ConfigError(f"{path}: setup: expected a list of lines")
    if at_once is not None and (isinstance(at_once, bool) or not isinstance(at_once, int) or at_once < 1):
        raise ConfigError(f"{path}: at_once={at_once}: expected a whole number, 1 or more")
    return Cluster(options, tuple(setup), at_once)


def submit(subjects: Sequence[Subject], last: str, cluster: Cluster, table: bool, root: Path) -> str:
    """Submits a job for each subject, and one for the table.

    Args:
        subjects: Prepared.
        last: The stage to end with.
        cluster: How.
        table: Whether there is a table.
        root: The project.

    Returns:
        The array's number.

    Raises:
        PipelineError: There is no sbatch, or it refuses; where it refuses the table, the array is submitted.
    """
    words = {
        "setup": "\n".join(cluster.setup),
        "python": shlex.quote(sys.executable),
        "bin": shlex.quote(str(Path(sys.executable).parent)),
        "names": " ".join(subject.name for subject in subjects),
        "stage": last,
    }
    limit = f"%{cluster.at_once}" if cluster.at_once else ""
    array = ["--job-name=subjects", "--requeue", f"--array=0-{len(subjects) - 1}{limit}"]
    with _logs_begun(subjects):
        job = _sbatch(root, JOB, (HEAD + SUBJECT).format(**words), [*array, *_flags(cluster.options)])
    jobs = {subject.name: f"{job}_{number}" for number, subject in enumerate(subjects)}
    write_text(root / JOBS, as_yaml(_jobs(root) | jobs))
    if table:
        after = ["--job-name=subjects-table", f"--dependency=afterany:{job}"]
        wanted = {key: value for key, value in cluster.options.items() if not any(word in key for word in OF_GPUS)}
        try:
            _sbatch(root, TABLE_JOB, (HEAD + TABLE).format(**words), [*after, *_flags(wanted)])
        except PipelineError as error:
            why = f"job {job} is submitted, the one that makes the table afterwards is not (--table does): {error}"
            raise PipelineError(why) from error
    return job


@contextmanager
def _logs_begun(subjects: Sequence[Subject]) -> Iterator[None]:
    """Begins the logs ahead of the jobs, as an earlier run's end is not theirs; they are as before if none comes."""
    logs = [subject.folder / layout.SUBJECT_LOG for subject in subjects]
    before = {log: log.read_bytes() for log in logs if has_file(log)}
    for log in logs:
        write_text(log, SUBMITTED)
    try:
        yield
    except PipelineError:
        for log in logs:
            log.unlink()
        for log, text in before.items():
            write_bytes(log, text)
        raise


def _jobs(root: Path) -> dict[str, str]:
    return load_plain(root / JOBS) if has_file(root / JOBS) else {}


def _flags(options: Mapping[str, str | bool]) -> list[str]:
    return [f"--{key}" if value is True else f"--{key}={value}" for key, value in options.items()]


def _sbatch(root: Path, script: Path, text: str, flags: Sequence[str]) -> str:
    write_text(root / script, text)
    place = root.resolve()
    where = [f"--chdir={place}", f"--output={place / layout.SUBJECTS}/slurm-%j.txt"]
    said = _ask("sbatch", "--parsable", *where, *flags, str(root / script))
    if not (job := said.strip().partition(";")[0]).isdigit():
        raise PipelineError(f"sbatch: expected the number of a job, found {said.strip()!r}")
    return job


def _ask(program: str, *arguments: str) -> str:
    if shutil.which(program) is None:
        raise PipelineError(f"{program} is not on the PATH: jobs are submitted on a machine of a Slurm cluster")
    asked = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if asked.returncode:
        raise PipelineError(f"{program}: {asked.stderr.strip()}")
    return asked.stdout


def job_states(root: Path) -> dict[str, str]:
    """Asks the cluster about the last job of each subject.

    Args:
        root: The project.

    Returns:
        A line for each subject that it has not done with.

    Raises:
        PipelineError: Nothing was submitted, or squeue refuses.
    """
    if not (jobs := _jobs(root)):
        raise PipelineError(f"{JOBS}: nothing was submitted from here")
    names = {job: name for name, job in jobs.items()}
    # of all my jobs: asked for an array that has ended, squeue says after a while that there is none
    said = _ask("squeue", "--me", "--noheader", "--array", f"--format={QUEUE_FORMAT}")
    states = {}
    for line in said.splitlines():
        job, state, node, used, reason = line.strip().split("|")
        if job in names:
            where = f"on {node} for {used}" if node else f"({reason})"
            states[names[job]] = f"{state.lower()} {where}"
    return states


def check_free(chosen: Sequence[Subject], root: Path) -> set[str]:
    """Refuses to run subjects whose jobs are not done: both would write the same files.

    Args:
        chosen: What is to run.
        root: The project.

    Returns:
        The names of others whose jobs are not done, whose settings must stay as they are.

    Raises:
        PipelineError: One of them is in the queue, or squeue refuses.
    """
    jobs = _jobs(root)
    if not jobs or shutil.which("squeue") is None:
        return set()
    live = job_states(root)
    for subject in chosen:
        if subject.name in live:
            raise PipelineError(
                f"{subject.name}: its job is {live[subject.name]}: wait for it, or end it with "
                f"`scancel {jobs[subject.name]}`"
            )
    return set(live)


def describe_jobs(root: Path) -> str:
    """Says of each subject that was submitted where it is, a line each.

    Args:
        root: The project; nothing is read of folders that are no job's.

    Returns:
        The lines.

    Raises:
        PipelineError: As of `job_states`.
    """
    states = job_states(root)
    subjects = [Subject(name, root / layout.SUBJECTS / name, ()) for name in sorted(_jobs(root))]
    return "\n".join(f"{subject.name}: {_state(subject, states.get(subject.name, ''))}" for subject in subjects)


def _state(subject: Subject, queued: str) -> str:
    log = subject.folder / layout.SUBJECT_LOG
    if not queued:
        return (why_failed(subject) or "done") if has_file(log) else NOT_RUN
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if has_file(log) else []
    counted = [line for line in lines if COUNTED.match(line)]
    return f"{queued}; {counted[-1]}" if counted and queued.startswith("running") else queued
