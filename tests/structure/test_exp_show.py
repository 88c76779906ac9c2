"""The documented `dvc exp show` fits a terminal of 80 columns, on this project's own parameters and metrics."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = 80
GIT = {f"GIT_{who}_{what}": "x@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def documented():
    (command,) = re.findall(r"^dvc exp show --no-pager.*$", (ROOT / "docs/comparing.md").read_text(), re.MULTILINE)
    return shlex.split(command)


@pytest.mark.slow
def test_the_documented_table_of_experiments_fits_80_columns(tmp_path):
    def run(*words):
        environment = {**os.environ, **GIT, "COLUMNS": str(COLUMNS), "DVC_NO_ANALYTICS": "1", "TERM": "dumb"}
        return subprocess.run(words, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout

    run("git", "init", "-q", "-b", "main")
    run("dvc", "init", "-q")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "metrics").mkdir()
    shutil.copy(ROOT / "metrics/metrics.json", tmp_path / "metrics")
    stage = {"cmd": "true", "params": [{"params.yaml": None}], "metrics": [{"metrics/metrics.json": {"cache": False}}]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"evaluate": stage}}))
    run("dvc", "commit", "-f", "-q")
    run("git", "add", "-A")
    run("git", "commit", "-q", "-m", "default")
    params = tmp_path / "params.yaml"
    params.write_text(re.sub(r"^lr: .*$", "lr: 0.0003", params.read_text(), flags=re.MULTILINE))
    run("dvc", "exp", "save", "-f", "-n", "dora-higher-rate")
    table = run(*documented())
    lines = table.splitlines()
    assert max(map(len, lines)) <= COLUMNS
    head = next(line.split() for line in lines if "Experiment" in line)
    assert head == ["Experiment", "clip_t_tabletop", "dino_tabletop", "lr"]
    (own,) = (line for line in lines if "dora-higher-rate" in line)
    assert "0.0003" in own
