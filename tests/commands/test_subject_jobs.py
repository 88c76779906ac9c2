"""Subjects as jobs of a cluster, with scripts in the place of sbatch and squeue; test_slurm.py has the real ones."""

import os
import subprocess
import sys

import pytest
import yaml

from src.commands import subject_run, subjects
from src.commands.subject_jobs import Cluster, describe_jobs, job_states, read_cluster, submit
from src.commands.subject_results import ending
from src.core.errors import ConfigError, PipelineError
from tests.commands.test_subjects import FAILED_LOG, command

SBATCH = """#!/bin/sh
echo "$@" >> {folder}/asked.txt
echo "$(wc -l < {folder}/asked.txt);two"
"""


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A folder at the head of PATH, with an sbatch that numbers the jobs."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    write_program(folder, "sbatch", SBATCH.format(folder=folder))
    return folder


def write_program(folder, name, text):
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def asked(programs):
    return (programs / "asked.txt").read_text().splitlines()


def test_an_array_of_subjects_and_a_table_after_it(root, programs, monkeypatch, capsys):
    (root / "cluster.yaml").write_text(
        'options: {partition: fast, gres: "gpu:1", mem-per-gpu: 1G, time: "4:00:00", exclusive: true}\nat_once: 4\n'
    )
    command(monkeypatch, root, "--slurm", "cluster.yaml", "lr=3e-4")
    assert "job 1: 2 subjects" in capsys.readouterr().out
    array, table = asked(programs)
    for flag in (
        "--array=0-1%4",
        "--requeue",
        "--partition=fast",
        "--gres=gpu:1",
        "--time=4:00:00",
        "--exclusive ",
        f"--chdir={root} ",
    ):
        assert flag in array
    assert "--dependency=afterany:1 " in table
    assert "--partition=fast" in table
    assert "gpu" not in table, "a table needs no GPU"
    assert "--array" not in table
    assert yaml.safe_load((root / "subjects/jobs.yaml").read_text()) == {"dog3": "1_0", "mug": "1_1"}
    assert yaml.safe_load((root / "subjects/mug/params.yaml").read_text())["lr"] == 3e-4
    assert "/jobs.yaml\n" in (root / "subjects/.gitignore").read_text()


def test_each_job_of_the_array_runs_its_own_subject(root, programs, monkeypatch):
    write_program(programs, "a python", '#!/bin/sh\necho "$SEEN" "${PATH%%:*}" "$@"\n')
    monkeypatch.setattr(sys, "executable", str(programs / "a python"))
    found = subjects.find_subjects(root)
    submit(found, "crop", Cluster({}, ("export SEEN=yes",), None), False, root)
    assert len(asked(programs)) == 1, "no table without scores"
    for number, name in enumerate(("dog3", "mug")):
        ran = subprocess.run(
            ["bash", root / "subjects/job.sh"],
            env=os.environ | {"SLURM_ARRAY_TASK_ID": str(number)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stdout == f"yes {programs} -m src.commands.subject_run {name} crop\n"


def test_status_joins_the_queue_with_the_logs(root, programs, monkeypatch, capsys):
    for name in ("cut", "damaged", "fine", "new"):
        (root / "subjects" / name / "raw").mkdir(parents=True)
        (root / "subjects" / name / "subject.yaml").write_text("class_name: mug\n")
    submit(subjects.find_subjects(root), "report", Cluster({}, (), None), False, root)
    write_queue(programs, "1_2|RUNNING|n1|1:02|None", "1_4|PENDING||0:00|Priority", "9_0|RUNNING|n2|9:00|None")
    logs = {
        "cut": "\n",
        "damaged": FAILED_LOG,
        "dog3": "train: 40 of 300, 2.0 steps/s, 02:10 left\n",
        "fine": ending(0),
    }
    for name, text in logs.items():
        (root / "subjects" / name / "log.txt").write_text(text)
    command(monkeypatch, root, "--status")
    assert capsys.readouterr().out.splitlines() == [
        "cut: its last run was cut off: run it again",
        "damaged: convert: 1 of 1 photos in data/raw cannot be used: IMG_1.HEIC: cut off",
        "dog3: running on n1 for 1:02; train: 40 of 300, 2.0 steps/s, 02:10 left",
        "fine: done",
        "mug: pending (Priority)",
        "new: its job has begun no stage; if it has ended, the last subjects/slurm-*.txt says why",
    ]


def write_queue(programs, *lines):
    text = "\n".join(lines)
    write_program(programs, "squeue", f"#!/bin/sh\ncat <<E\n{text}\nE\n")


def test_a_job_that_ended_before_its_first_stage_is_never_done(root, programs):
    """As where a line of the setup failed: the end in the log is an earlier run's."""
    for name in ("dog3", "mug"):
        (root / f"subjects/{name}/log.txt").write_text(f"train: 290 of 300,  2.0 steps/s, 00:05 left\n{ending(0)}")
    submit(subjects.find_subjects(root), "crop", Cluster({}, (), None), False, root)
    write_queue(programs, "1_1|RUNNING|n1|0:16|None")
    dog, mug = describe_jobs(root).splitlines()
    assert dog.startswith("dog3: its job has begun no stage")
    assert mug == "mug: running on n1 for 0:16", "how far the run before came is not told"


def test_subjects_in_the_queue_are_not_run_again_and_keep_their_settings(root, programs, monkeypatch, capsys):
    (root / "cluster.yaml").write_text("")
    command(monkeypatch, root, "--slurm", "cluster.yaml", "lr=1e-4")
    write_queue(programs, "1_1|RUNNING|n1|1:02|None")
    for words in (("lr=1e-4",), ("--slurm", "cluster.yaml", "lr=1e-4"), ("--only", "mug", "lr=1e-4")):
        with pytest.raises(SystemExit):
            command(monkeypatch, root, *words)
        said = capsys.readouterr().err
        assert "mug: its job is running on n1 for 1:02: wait for it, or end it with `scancel 1_1`" in said
    with pytest.raises(SystemExit):
        command(monkeypatch, root, "--slurm", "cluster.yaml", "--only", "dog3", "lr=3e-4")
    assert "mug: its job is not done, and has other settings than these" in capsys.readouterr().err
    assert yaml.safe_load((root / "subjects/dog3/params.yaml").read_text())["lr"] == 1e-4
    command(monkeypatch, root, "--slurm", "cluster.yaml", "--only", "dog3", "lr=1e-4")
    assert yaml.safe_load((root / "subjects/jobs.yaml").read_text()) == {"dog3": "3_0", "mug": "1_1"}
    write_queue(programs, "3_0|PENDING||0:00|Priority", "1_1|RUNNING|n1|1:09|None")
    assert describe_jobs(root).splitlines() == ["dog3: pending (Priority)", "mug: running on n1 for 1:09"]


def test_a_folder_that_is_half_made_stops_no_job(root, programs, monkeypatch, capsys):
    submit(subjects.find_subjects(root), "crop", Cluster({}, (), None), False, root)
    (root / "subjects/new/raw").mkdir(parents=True)
    write_queue(programs, "1_0|RUNNING|n1|1:02|None")
    command(monkeypatch, root, "--status")
    assert capsys.readouterr().out.startswith("dog3: running")
    ran = []
    monkeypatch.setattr(subject_run, "run_subject", lambda subject, *_: ran.append(subject.name))
    subject_run.main(["mug", "crop"])
    assert ran == ["mug"]


def test_a_job_ends_with_the_status_of_dvc(root, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.setattr(subject_run, "run_subject", lambda subject, last, _: len(subject.name + last))
    with pytest.raises(SystemExit) as ended:
        subject_run.main(["mug", "crop"])
    assert ended.value.code == 7
    with pytest.raises(SystemExit) as ended:
        subject_run.main(["cat", "crop"])
    assert ended.value.code == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partition: fast", "partition: expected options, setup or at_once"),
        ("options: [fast]", "expected long names"),
        ("options: {--mem: 1G}", "expected long names"),
        ("options: {time: 4:00:00}", "time: 14400: expected a text, in quotes"),
        ("options: {requeue: false}", "requeue: False: expected a text"),
        ("options: {account: }", "account: None: expected a text"),
        ("options: {array: 0-5}", "array: the command says that itself"),
        ("setup: module load cuda", "setup: expected a list of lines"),
        ("at_once: 0", "at_once=0: expected a whole number"),
        ("at_once: true", "at_once=True: expected a whole number"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(text, message, tmp_path):
    (tmp_path / "cluster.yaml").write_text(text + "\n")
    with pytest.raises(ConfigError, match=message):
        read_cluster(tmp_path / "cluster.yaml")


def test_an_empty_file_leaves_all_to_the_cluster(tmp_path):
    (tmp_path / "cluster.yaml").write_text("")
    assert read_cluster(tmp_path / "cluster.yaml") == Cluster({}, (), None)
    with pytest.raises(ConfigError, match="no such file"):
        read_cluster(tmp_path / "other.yaml")


def test_what_the_cluster_refuses_is_said(root, programs, monkeypatch):
    log = root / "subjects/mug/log.txt"
    log.write_text(ending(0))
    write_program(programs, "sbatch", "#!/bin/sh\necho 'sbatch: error: invalid partition: fast' >&2\nexit 1\n")
    with pytest.raises(PipelineError, match="invalid partition: fast"):
        submit(subjects.find_subjects(root), "crop", Cluster({}, (), None), False, root)
    with pytest.raises(PipelineError, match="nothing was submitted from here"):
        job_states(root)
    assert log.read_text() == ending(0), "nothing was submitted"
    assert not (root / "subjects/dog3/log.txt").exists()
    write_program(programs, "sbatch", "#!/bin/sh\n")
    with pytest.raises(PipelineError, match="expected the number of a job, found ''"):
        submit(subjects.find_subjects(root), "crop", Cluster({}, (), None), False, root)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(PipelineError, match="sbatch is not on the PATH"):
        submit(subjects.find_subjects(root), "crop", Cluster({}, (), None), False, root)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--status", "--table"], "--status looks at the jobs"),
        (["--status", "lr=1e-3"], "--status looks at the jobs"),
        (["--table", "--slurm", "cluster.yaml"], "--table runs nothing"),
        (["--slurm", "cluster.yaml", "--against", "HEAD"], "the table is made by a job"),
    ],
)
def test_what_could_not_act_is_refused(words, message, root, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        command(monkeypatch, root, *words)
    assert message in capsys.readouterr().err


def test_an_array_is_known_though_its_table_is_refused(root, programs):
    write_program(programs, "sbatch", '#!/bin/sh\ncase "$*" in *dependency*) exit 1;; esac\necho 5\n')
    with pytest.raises(PipelineError, match=r"job 5 is submitted, the one that makes the table .* is not"):
        submit(subjects.find_subjects(root), "report", Cluster({}, (), None), True, root)
    assert yaml.safe_load((root / "subjects/jobs.yaml").read_text()) == {"dog3": "5_0", "mug": "5_1"}
