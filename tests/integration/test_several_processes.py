"""What two processes make together: the model of one up to its last bits, and images and scores to the byte."""

import shutil
import socket

import pandas as pd
import pytest

from tests.integration.project import hashes, run
from tests.integration.warm import run_warm

pytestmark = pytest.mark.slow
CONFIG = "exp.config_path=params.yaml"


@pytest.fixture
def project(second_copy, tmp_path):
    shutil.copytree(second_copy[0], tmp_path / "p", symlinks=True)
    return tmp_path / "p"


def run_two(project, *command):
    # not `accelerate launch --cpu`, which starts one process whatever it is told
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return run(project, "torchrun", "--nproc_per_node", "2", "--master_port", port, *command).stdout


def test_two_processes_train_the_same_model(project):
    command = (CONFIG, "tracker=none", "train.steps=4", "device=cpu")
    output = run_two(project, "train.py", *command, "exp.run_dir=outputs/two")
    assert "training in 2 processes on cpu, 2 of the 4 images of an update each" in output
    run_warm(project, "python", "train.py", *command, "exp.run_dir=outputs/one")
    two, one = (pd.read_csv(project / f"outputs/{name}/metrics/train/loss.csv") for name in ("two", "one"))
    pd.testing.assert_frame_equal(two, one, rtol=1e-4)


def test_two_processes_generate_the_bytes_of_one(project):
    made = hashes(project / "data/samples")
    shutil.rmtree(project / "data/samples")
    shutil.rmtree(project / ".cache/samples", ignore_errors=True)  # other tests of this project may have done so
    output = run_two(project, "inference.py", CONFIG, "exp.run_dir=.")
    images = len(made) - 1
    of_base = sum(path.startswith("base/") for path in map(str, made))
    assert output.count("base: generated") == 1, "the others are silent"
    assert f"base: generated {of_base // 2} images" in output, "each has half"
    assert f"{images} images in data/samples" in output
    assert hashes(project / "data/samples") == made


def test_two_processes_choose_the_same(project):
    made = (project / "metrics/choice.json").read_bytes()
    (project / "metrics/choice.json").unlink()
    shutil.rmtree(project / ".cache/samples", ignore_errors=True)
    output = run_two(project, "-m", "src.stages.choose", CONFIG, "exp.run_dir=.")
    assert output.count("choose: step-") == 1
    assert (project / "metrics/choice.json").read_bytes() == made


def test_two_processes_score_the_same(project):
    files = [project / f"metrics/{name}" for name in ("scores.csv", "nearest.csv", "metrics_meta.json", "details.json")]
    made = [file.read_bytes() for file in files]
    for file in files:
        file.unlink()
    output = run_two(project, "-m", "src.stages.evaluate", CONFIG)
    assert output.count("was chosen on the dev prompts") == 1
    assert [file.read_bytes() for file in files] == made


def test_two_processes_make_class_images(project):
    words = ("-m", "src.stages.class_images", CONFIG, "prior.weight=1", "prior.num_images=3", "device=cpu")
    run_two(project, *words)
    made = hashes(project / "data/class_images")
    assert len(made) == 3 + 1
    shutil.rmtree(project / ".cache/samples")
    run_warm(project, "python", *words)
    assert hashes(project / "data/class_images") == made


def test_a_stage_of_one_process_refuses_a_second(project):
    with pytest.raises(AssertionError, match="split runs in one process, and a launcher started 2"):
        run_two(project, "-m", "src.stages.split", CONFIG)
