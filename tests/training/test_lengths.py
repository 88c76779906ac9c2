"""A run takes what one of another length or interval has left, and ends with the bytes of one that took nothing."""

import re
import shutil
from dataclasses import replace

import pytest

from src.training import loop
from src.training.lengths import Length, take_over
from src.training.loop import train
from src.training.schedules import ConstantSchedule, CosineSchedule
from src.training.state import StateFolder
from tests.training.conftest import PLAN
from tests.training.test_loop import KilledError, kill_at, same


class Drop:
    """A schedule of somebody: a tenth of the rate from the middle of the training on."""

    def factor(self, step, steps):
        return 1.0 if step < 0.5 * steps else 0.1


@pytest.fixture
def run_of(make_run, tmp_path):
    """Trains beside what other lengths left in the same place, as the stage does; returns state and checkpoints."""

    def go(place="shared", schedule=ConstantSchedule(2), stops_at=None, **options):  # noqa: B008
        plan = {**PLAN, **{name: value for name, value in options.items() if name in PLAN}}
        length = Length(plan["steps"], plan["checkpoint_every"], plan["val_every"], schedule.factor)
        state = StateFolder(tmp_path / place / f"abc-{length.name}")
        take_over(state, length)
        stop = (lambda step: step == stops_at) if stops_at else (lambda _: False)
        run = make_run(state=state.path.relative_to(tmp_path), should_stop=stop, **options)
        saved = state.load()
        if saved is None or saved.step < run.plan.steps:
            train(replace(run, schedule=schedule))
        files = sorted((state.path / "checkpoints").glob("step-??????/*"))
        return state.load(), {path.relative_to(state.path).as_posix(): path.read_bytes() for path in files}

    return go


@pytest.fixture(scope="module")
def wholes():
    """Runs that found nothing to take, by what was asked for."""
    return {}


@pytest.fixture
def alone(run_of, wholes, trained):
    """Trains to the end where nothing else is; once for each set of options."""

    def go(**options):
        key = repr(sorted(options.items()))
        if key not in wholes:
            wholes[key] = run_of("alone", **options)
        trained.clear()
        return wholes[key]

    return go


@pytest.fixture
def trained(monkeypatch):
    """Which updates were computed."""
    steps, train_step = [], loop.train_step
    monkeypatch.setattr(loop, "train_step", lambda run, step: steps.append(step) or train_step(run, step))
    return steps


def check_same(found, wanted):
    (saved, files), (whole, whole_files) = found, wanted
    assert files == whole_files
    assert saved.step == whole.step
    assert (saved.losses, saved.validations) == (whole.losses, whole.validations)
    if saved.tensors:  # none where the state was one of later updates
        assert same(saved.tensors, whole.tensors)
        assert saved.scalars == whole.scalars


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "sdxl", "text": True, "prior": True, "prior_weight": 1.0, "dropout": 0.2, "ema_decay": 0.9},
        {"precision": "fp16", "dtype": "fp16"},
    ],
    ids=["everything", "fp16"],
)
def test_a_longer_run_trains_what_is_missing_to_the_same_bytes(run_of, alone, trained, capsys, options):
    whole = alone(steps=6, **options)
    run_of(steps=4, **options)  # leaves a checkpoint and a validation after 4, which the longer one does not
    trained.clear()
    longer = run_of(steps=6, **options)
    assert trained == [4, 5]
    assert "takes the first 4 of 6 updates from" in capsys.readouterr().out
    check_same(longer, whole)
    assert {name.split("/")[1] for name in longer[1]} == {"step-000003", "step-000006"}
    check_same(run_of(steps=6, **options), whole)
    assert trained == [4, 5]


@pytest.mark.parametrize(
    ("steps", "computed"), [(3, []), (5, list(range(5)))], ids=["at_a_checkpoint", "where_none_was_kept"]
)
def test_a_shorter_run_is_cut_from_a_longer_one_or_trained(run_of, alone, trained, steps, computed):
    whole = alone(steps=steps)
    longer = run_of(steps=6)
    trained.clear()
    check_same(run_of(steps=steps), whole)
    assert trained == computed
    check_same(run_of(steps=6), longer)
    assert trained == computed, "the longer run is still there"


def test_what_was_cut_has_no_weights_to_go_on_from(run_of, alone, trained, capsys, tmp_path):
    whole = alone(steps=6)
    run_of(steps=6)
    run_of(steps=3)
    shutil.rmtree(tmp_path / "shared/abc-6-3-3")
    trained.clear()
    check_same(run_of(steps=6), whole)
    assert trained == list(range(6))
    assert "abc-3-3-3 has 3 updates, but only their checkpoints are there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("intervals", "computed", "said"),
    [
        ({"checkpoint_every": 6}, [3, 4, 5], "takes the first 3 of 6"),
        ({"save_every": 1}, [3, 4, 5], "takes the first 3 of 6"),
        ({"checkpoint_every": 2}, range(6), "begins anew: .*3-3-3 has 3 .* no checkpoint was kept after update 2"),
        ({"val_every": 2}, range(6), "begins anew: .*3-3-3 has 3 .* nothing was validated after update 2"),
    ],
)
def test_other_intervals_leave_all_that_they_ask_for(run_of, alone, trained, capsys, intervals, computed, said):
    whole = alone(steps=6, **intervals)
    run_of(steps=3)
    trained.clear()
    check_same(run_of(steps=6, **intervals), whole)
    assert trained == list(computed)
    assert re.search(said, capsys.readouterr().out)


def test_the_furthest_is_taken_of_a_killed_run_too(run_of, alone, trained):
    whole = alone(steps=6)
    run_of(steps=3)
    with pytest.raises(KilledError):
        run_of(steps=5, log=kill_at(5))
    trained.clear()
    check_same(run_of(steps=6), whole)
    assert trained == [4, 5]


def test_a_kill_while_taking_changes_nothing(run_of, alone, monkeypatch):
    whole = alone(steps=6)
    run_of(steps=3)

    def killed(*_):
        raise KilledError

    monkeypatch.setattr(StateFolder, "save", killed)
    with pytest.raises(KilledError):
        run_of(steps=6)
    monkeypatch.undo()
    check_same(run_of(steps=6), whole)


@pytest.mark.parametrize(
    ("schedule", "computed"),
    [(CosineSchedule(0, 0.1), range(6)), (Drop(), range(6)), (CosineSchedule(4, 0.1), [4, 5])],
    ids=["cosine", "drop", "cosine_in_warm_up"],
)
def test_a_schedule_that_looks_ahead_begins_anew(run_of, alone, trained, capsys, schedule, computed):
    whole = alone(schedule=schedule, steps=6)
    run_of(schedule=schedule, steps=4)
    trained.clear()
    check_same(run_of(schedule=schedule, steps=6), whole)
    assert trained == list(computed)
    line = "4-3-3 has 4 updates, but those are of 4, and a schedule here looks ahead to the last one"
    assert (line in capsys.readouterr().out) == (len(computed) == 6)


def test_early_stopping_stops_where_it_would_have(run_of, alone, trained):
    whole = alone(steps=6, stops_at=3)
    assert whole[0].step == 3
    run_of(steps=3, stops_at=3)  # ends before it asks
    trained.clear()
    check_same(run_of(steps=6, stops_at=3), whole)
    assert trained == []


def test_a_damaged_checkpoint_is_not_taken(run_of, alone, trained, tmp_path, capsys):
    whole = alone(steps=6)
    run_of(steps=3)
    (checkpoint,) = (tmp_path / "shared/abc-3-3-3/checkpoints/step-000003").iterdir()
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1])
    trained.clear()
    check_same(run_of(steps=6), whole)
    assert trained == list(range(6))
    assert "step-000003: damaged or missing" in capsys.readouterr().out
