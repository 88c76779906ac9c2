"""Several subjects as jobs of a real Slurm cluster, where one can be started."""

import re
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from tests.integration import slurm
from tests.integration.project import hashes, run
from tests.integration.test_subjects import add_damaged, project_of

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing())]
COMMAND = ("python", "-m", "src.commands.subjects")


@pytest.fixture
def cluster():
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        slurm.start(Path(folder), stack)
        yield


def test_subjects_run_on_two_nodes_and_a_bad_one_is_named(shared, tmp_path, cluster):
    project = project_of(shared, tmp_path, {"all": slice(None), "few": slice(3), "more": slice(2, None)})
    add_damaged(project, "bad")
    (project / "cluster.yaml").write_text('options: {time: "0:30:00", comment: photos}\n')

    submitted = run(project, *COMMAND, "--slurm", "cluster.yaml", "--until", "convert").stdout
    number = re.search(r"job (\d+): 4 subjects", submitted)[1]
    status = run(project, *COMMAND, "--status").stdout.splitlines()
    assert len([line for line in status if re.search(r": (pending \(|running on n[12] )", line)]) > 1
    slurm.wait_until(lambda: not slurm.said("squeue", "--noheader"), 300)

    nodes = {
        re.search(r" NodeList=(\S+)", line)[1] for line in slurm.said("scontrol", "show", "job", "-o").splitlines()
    }
    assert nodes == {"n1", "n2"}
    told = dict(line.split(": ", 1) for line in run(project, *COMMAND, "--status").stdout.splitlines())
    assert told["bad"].startswith("convert: ")
    assert "IMG_1.HEIC" in told["bad"]
    assert [told[name] for name in ("all", "few", "more")] == ["done"] * 3
    failing = project / "failing.yaml"
    failing.write_text("setup: [nothing_of_this_name]\n")
    run(project, *COMMAND, "--slurm", "failing.yaml", "--until", "convert", "--only", "few")
    slurm.wait_until(lambda: not slurm.said("squeue", "--noheader"), 60)
    told = dict(line.split(": ", 1) for line in run(project, *COMMAND, "--status").stdout.splitlines())
    assert told["few"].startswith("its job has begun no stage"), "it was done the last time"
    assert told["more"] == "done"
    run(project, "dvc", "repro", "-q", "convert")
    assert hashes(project / "subjects/all/data/images") == hashes(project / "data/images")

    again = run(project, *COMMAND, "--slurm", "cluster.yaml", "--until", "convert", "--only", "all").stdout
    assert int(re.search(r"job (\d+): 1 subjects", again)[1]) > int(number)
    slurm.wait_until(lambda: not slurm.said("squeue", "--noheader"), 300)
    assert "Running stage" not in (project / "subjects/all/log.txt").read_text(), "nothing is done twice"


def test_what_ran_on_a_node_that_died_runs_on_the_other(shared, tmp_path, cluster):
    project = project_of(shared, tmp_path, {"few": slice(2), "more": slice(2, 4)})
    hang = 'if [ "$SLURMD_NODENAME" = n1 ]; then touch subjects/hangs; sleep 600; fi'
    (project / "cluster.yaml").write_text(yaml.safe_dump({"setup": [hang]}))
    run(project, *COMMAND, "--slurm", "cluster.yaml", "--until", "convert")
    slurm.wait_until((project / "subjects/hangs").is_file, 60)
    slurm.lose_node("n1")
    slurm.wait_until(lambda: not slurm.said("squeue", "--noheader"), 300)
    assert run(project, *COMMAND, "--status").stdout.splitlines() == ["few: done", "more: done"]
    jobs = slurm.said("scontrol", "show", "job", "-o")
    assert sorted(re.findall(r" Restarts=(\d)", jobs)) == ["0", "1"]
    assert len(list((project / "subjects/few/data/images").glob("*.png"))) == 2
