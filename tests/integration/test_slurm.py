"""Several subjects as jobs of a real Slurm cluster, where one can be started."""

import re
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from tests.integration import slurm
from tests.integration.project import hashes, made_once, make_project, run
from tests.integration.test_subjects import add

COMMAND = ("python", "-m", "src.commands.subjects")


@pytest.fixture
def cluster():
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        slurm.start(Path(folder), stack)
        yield


@pytest.mark.slow
@pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing())
def test_subjects_run_on_two_nodes_and_a_bad_one_is_named(shared, tmp_path, cluster):
    project = tmp_path / "p"
    shutil.copytree(made_once(shared, "clean", make_project), project, symlinks=True)
    photos = sorted((project / "data/raw").glob("*.HEIC"))
    for name, some in (("all", photos), ("few", photos[:3]), ("more", photos[2:])):
        add(project, name, some)
    add(project, "bad", [])
    (project / "subjects/bad/raw/IMG_1.HEIC").write_bytes(photos[0].read_bytes()[:2000])
    (project / "cluster.yaml").write_text("options: {time: 30, comment: photos}\nsetup: [export SEEN=1]\n")

    submitted = run(project, *COMMAND, "--slurm", "cluster.yaml", "--until", "convert").stdout
    number = re.search(r"job (\d+): 4 subjects", submitted)[1]
    assert run(project, *COMMAND, "--status").stdout.splitlines()[0].startswith("all: ")
    slurm.wait_until(lambda: not slurm.said("squeue", "--noheader"), 300)

    nodes = {
        re.search(r" NodeList=(\S+)", line)[1] for line in slurm.said("scontrol", "show", "job", "-o").splitlines()
    }
    assert nodes == {"n1", "n2"}
    told = dict(line.split(": ", 1) for line in run(project, *COMMAND, "--status").stdout.splitlines())
    assert told["bad"].startswith("convert: ")
    assert "IMG_1.HEIC" in told["bad"]
    assert [told[name] for name in ("all", "few", "more")] == ["done"] * 3
    run(project, "dvc", "repro", "-q", "convert")
    assert hashes(project / "subjects/all/data/images") == hashes(project / "data/images")

    again = run(project, *COMMAND, "--slurm", "cluster.yaml", "--until", "convert", "--only", "all").stdout
    assert int(re.search(r"job (\d+): 1 subjects", again)[1]) > int(number)
    slurm.wait_until(lambda: not slurm.said("squeue", "--noheader"), 300)
    assert "Running stage" not in (project / "subjects/all/log.txt").read_text(), "nothing is done twice"


@pytest.mark.slow
@pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing())
def test_what_ran_on_a_node_that_died_runs_on_the_other(shared, tmp_path, cluster):
    project = tmp_path / "p"
    shutil.copytree(made_once(shared, "clean", make_project), project, symlinks=True)
    photos = sorted((project / "data/raw").glob("*.HEIC"))
    for name, some in (("few", photos[:2]), ("more", photos[2:4])):
        add(project, name, some)
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
