from itertools import pairwise

import pytest

from src.core.errors import ConfigError
from src.training.schedules import ConstantSchedule, CosineSchedule


def test_constant_warms_up_linearly_then_stays():
    schedule = ConstantSchedule(3)
    assert [schedule.factor(step, 10) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_cosine_starts_at_one_and_falls_to_the_minimum():
    schedule = CosineSchedule(0, 0.1)
    factors = [schedule.factor(step, 100) for step in range(101)]
    assert factors[0] == 1.0
    assert factors[50] == pytest.approx(0.55)
    assert factors[100] == pytest.approx(0.1)
    assert all(a >= b for a, b in pairwise(factors))


def test_bad_values_are_refused():
    with pytest.raises(ConfigError, match="warmup_steps=-1"):
        ConstantSchedule(-1)
    with pytest.raises(ConfigError, match="min_ratio"):
        CosineSchedule(0, 1.5)
