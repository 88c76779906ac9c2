"""Means over subjects, where the subject is the unit."""

import numpy as np
import pytest
from scipy import stats

from src.comparison.subjects import SubjectResult, over_subjects, paired, subject_result
from src.metrics.quantities import Quantities
from src.reporting.comparison.subjects import means_of, write_subjects
from tests.comparison.finished_runs import write_run
from tests.metrics.quantities import described

DINO = [0.40, 0.55, 0.31, 0.62]


def test_a_mean_over_subjects_has_students_interval():
    found = over_subjects([{"dino": value, **({"faces": 0.5} if n == 0 else {})} for n, value in enumerate(DINO)])
    low, high = stats.t.interval(0.95, 3, np.mean(DINO), stats.sem(DINO))
    assert found.keys() == {"dino"}
    assert (found["dino"].mean, found["dino"].low, found["dino"].high) == pytest.approx((np.mean(DINO), low, high))


def test_settings_are_compared_subject_by_subject():
    """Two subjects that one setting alone has do not count; four equal signs have p = 2 / 2^4."""
    before = {f"s{n}": {"dino": value} for n, value in enumerate(DINO)} | {"gone": {"dino": 0.0}}
    after = {f"s{n}": {"dino": value + step} for n, (value, step) in enumerate(zip(DINO, (1, 2, 3, 4), strict=True))}
    found = paired(before, after | {"new": {"dino": 9.0}})["dino"]
    assert found.subjects == 4
    assert found.interval.mean == pytest.approx(2.5)
    assert found.p == pytest.approx(2 / 16)


def test_a_subject_has_the_means_of_its_chosen_checkpoint_beside_base(tmp_path):
    result = subject_result("dog3", write_run(tmp_path / "dog3"))
    assert (result.name, result.kind, result.reason) == ("dog3", "bear", "")
    assert result.base == pytest.approx({"dino": 0.1, "clip_t": 0.1})
    assert 0.45 < result.means["dino"] < 0.55


def test_a_table_is_read_as_it_was_written_whatever_its_subjects_are_called(tmp_path):
    """Pandas takes NA, null and 007 for something else."""
    names = ("NA", "null", "007")
    results = [SubjectResult(name, "nan", {"dino": 0.5}, {"dino": 0.1}) for name in names]
    failed = SubjectResult("bad", "", {}, {}, "convert: none")
    paths = tmp_path / "table.csv", tmp_path / "report.html"
    write_subjects(paths, [*results, failed], Quantities.of({"quantities": described()}), {}, {}, "en")
    assert means_of(paths[0].read_bytes()) == {name: {"dino": 0.5} for name in names}
