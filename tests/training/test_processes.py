import pytest

from src.training.processes import describe_processes, missing_processes, report_processes

# what `accelerate launch --cpu --num_processes 2` (1.15) leaves in the environment of its single process
LONELY = {"ACCELERATE_USE_CPU": "True", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


def test_number_and_share_of_each_process_are_said():
    assert describe_processes(1, "cpu", 4) == "training in 1 process on cpu"
    assert describe_processes(2, "cuda", 8) == "training in 2 processes on cuda, 4 of the 8 images of an update each"


@pytest.mark.parametrize(
    ("processes", "environment", "wanted"),
    [
        (1, {}, None),
        (1, {"WORLD_SIZE": "1", "MASTER_PORT": "29500"}, None),
        (2, {"WORLD_SIZE": "2", "MASTER_PORT": "29500"}, None),
        (1, {"WORLD_SIZE": "2"}, "2 processes"),
        (1, {"OMPI_COMM_WORLD_SIZE": "4"}, "4 processes"),
        (1, LONELY, "several processes"),
    ],
)
def test_fewer_processes_than_the_launcher_was_asked_for_are_named(processes, environment, wanted):
    warning = missing_processes(processes, environment)
    assert (
        warning is None if wanted is None else f"was asked for {wanted}, but this training has {processes}" in warning
    )


def test_report_warns_on_standard_error(monkeypatch, capsys):
    for name, value in LONELY.items():
        monkeypatch.setenv(name, value)
    report_processes(1, "cpu", 4)
    out, err = capsys.readouterr()
    assert out == "training in 1 process on cpu\n"
    assert "torchrun --nproc_per_node" in err


def test_accelerate_still_sets_what_the_warning_looks_for(monkeypatch):
    from accelerate.commands.launch import launch_command_parser
    from accelerate.utils.launch import prepare_simple_launcher_cmd_env

    for name in ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    options = ["--cpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    options += ["--dynamo_backend", "no", "--num_cpu_threads_per_process", "1", "train.py"]
    _, environment = prepare_simple_launcher_cmd_env(launch_command_parser().parse_args(options))
    assert missing_processes(1, environment) is not None
