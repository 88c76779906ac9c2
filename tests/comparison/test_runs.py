"""A run's files, whole or not."""

import pytest

from src.comparison.runs import FILES, setting
from src.core.errors import MetricError
from tests.comparison.finished_runs import read_folder, write_run


def test_a_run_is_read(tmp_path):
    run = write_run(tmp_path / "a")
    assert setting(run, "evaluate", "select_clip_t_margin") == 0.02
    assert run.scores["value"].dtype == float
    assert run.scores["prompt_id"].iloc[0] == "p0"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("metrics/scores.csv", b""),
        ("metrics/scores.csv", b"variant,prompt_id\n"),
        ("metrics/metrics_meta.json", b"{}"),
        ("metrics/metrics_meta.json", b"[]"),
        ("params.yaml", b""),
        ("params.yaml", b"lr: [1,"),
        ("params.yaml", b"lr"),
        *[(file, b"\xff\xfe") for file in FILES],
    ],
)
def test_a_damaged_file_is_named(tmp_path, file, content):
    write_run(tmp_path / "a")
    (tmp_path / "a" / file).write_bytes(content)
    with pytest.raises(MetricError, match=f"/a: {file} is damaged, run evaluate again: ") as error:
        read_folder(tmp_path / "a")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("file", ["metrics/scores.csv", "metrics/metrics_meta.json"])
def test_a_file_that_was_cut_off_is_named(tmp_path, file):
    write_run(tmp_path / "a")
    whole = (tmp_path / "a" / file).read_bytes()
    for share in (0.3, 0.6, 0.95):
        (tmp_path / "a" / file).write_bytes(whole[: int(len(whole) * share)].rstrip(b"\n"))
        with pytest.raises(MetricError, match=f"{file} is damaged"):
            read_folder(tmp_path / "a")


def test_a_missing_setting_is_named_in_full(tmp_path):
    run = write_run(tmp_path / "a", params={"evaluate": 5})
    with pytest.raises(MetricError, match=r"no evaluate\.margins; repeat the run"):
        setting(run, "evaluate", "margins")
