"""One command trains settings with several seeds; its runs are made up here, DVC is asked for nothing."""

import json
import re
import sys

import pytest

from src.commands import seeds
from src.comparison.settings import Differs, what_differs
from src.comparison.spread import measure_spread, read_spreads, spread_of
from src.core.errors import ConfigError, MetricError
from tests.comparison.finished_runs import write_run

pytestmark = pytest.mark.usefixtures("without_data")

FIXED = ("split.seed=42", "validation_args.seed=42")


def test_seeds_are_a_number_of_them_or_a_list():
    assert seeds.read_seeds("4", first=42) == [42, 1, 2, 3]
    assert seeds.read_seeds("4", first=2) == [2, 1, 3, 4]
    assert seeds.read_seeds("7,8", first=42) == [7, 8]


@pytest.mark.parametrize("wanted", ["1", "3,3", "few", "0"])
def test_seeds_are_two_or_more(wanted):
    with pytest.raises(ConfigError, match=f"--seeds {wanted}: expected"):
        seeds.read_seeds(wanted, first=42)


def test_settings_stand_on_both_sides_of_vs():
    assert seeds.split_sides([]) == [[]]
    assert seeds.split_sides(["lr=1e-4", "vs", "lr=3e-4", "rank=8"]) == [["lr=1e-4"], ["lr=3e-4", "rank=8"]]
    assert seeds.split_sides(["vs", "rank=8"]) == [[], ["rank=8"]]
    for words in (["a=1", "vs", "b=1", "vs", "c=1"], ["seed=3"]):
        with pytest.raises(ConfigError):
            seeds.split_sides(words)


def test_every_run_holds_out_the_same_photos_and_generates_with_the_same_noise():
    first, second = seeds.plan_trials([[], ["lr=3e-4"]], "3")
    assert [trial.overrides for trial in first] == [(*FIXED, f"seed={seed}") for seed in (42, 1, 2)]
    assert [trial.overrides for trial in second] == [("lr=3e-4", *FIXED, f"seed={seed}") for seed in (42, 1, 2)]
    assert len({trial.name for trial in (*first, *second)}) == 6


@pytest.mark.parametrize("other", ["validation_args.guidance_scale=9", "split.val_fraction=0.5"])
def test_settings_that_would_be_measured_differently_are_refused_before_any_training(other):
    with pytest.raises(ConfigError, match=f"they differ in {re.escape(other.partition('=')[0])}"):
        seeds.plan_trials([[], [other]], "3")


@pytest.fixture
def nine_runs(tmp_path, monkeypatch):
    """As nine seeds of the default: likeness spreads by 0.02 and so exceeds its margin in many pairs."""
    values = [0.0, 0.03, -0.02, 0.01, 0.04, -0.01, 0.02, -0.03, 0.005]

    def read(name):
        seed = int(name.rpartition("-")[2])
        effect = values[seed % 9]
        return write_run(tmp_path / name, effect, params={"seed": seed, "model": {"name": "tabletop"}, "lr": 1e-4})

    ran = []
    monkeypatch.setattr(seeds, "finished_experiments", set)
    monkeypatch.setattr(seeds, "run_experiment", lambda trial: ran.append(trial.name) or 0)
    monkeypatch.setattr(seeds, "read_run", read)
    return ran


def test_the_command_prints_a_table_counts_verdicts_and_writes_the_spread(nine_runs, tmp_path, monkeypatch, capsys):
    file = tmp_path / "spread.json"
    monkeypatch.setattr(sys, "argv", ["seeds", "--seeds", "42,1,2,3,4,5,7,8,9", "--spread", str(file)])
    seeds.main()
    printed = capsys.readouterr().out
    assert len(nine_runs) == 9
    assert "| seed | checkpoint | dino ↑ | clip_t ↑ |" in printed
    assert re.search(r"\| standard deviation \|  \| 0\.0229 \| 0\.0000 \|", printed)
    firm = sum(
        int(n) for n in re.findall(r"(\d+) (?:BETTER|WORSE|TRADE-OFF)", printed.split("Of 36 pairs")[1].split(".")[0])
    )
    assert firm > 10
    assert "Told as statements about settings: 0" in printed
    share = float(re.search(r"Of 126 ways .* \(([\d.]+)%\)", printed)[1])
    assert share <= 5
    (spread,) = read_spreads(file)
    assert spread.sd["dino"] == pytest.approx(0.0229, abs=1e-4)
    assert spread.command == "python -m src.commands.seeds --seeds 42,1,2,3,4,5,7,8,9"
    assert (len(spread.seeds), spread.model, bool(spread.machine)) == (9, "tabletop", True)


def test_the_spread_is_known_for_the_settings_that_it_was_measured_with_alone(tmp_path):
    runs = [
        write_run(tmp_path / f"r{seed}", 0.01 * seed, params={"seed": seed, "model": {"name": "tabletop"}})
        for seed in range(3)
    ]
    spread = measure_spread(runs, "command", "machine", "2026-01-01")
    assert [spread_of(run, [spread]) for run in runs] == [spread] * 3
    other = write_run(tmp_path / "other", params={"lr": 1.0, "model": {"name": "tabletop"}})
    assert spread_of(other, [spread]) is None
    assert [what_differs(runs[0], run) for run in (runs[0], runs[1], other)] == list(Differs)
    for wrong in (runs[:2], [*runs[:2], other]):
        with pytest.raises(MetricError, match="three runs or more"):
            measure_spread(wrong, "command", "machine", "2026-01-01")


def test_what_is_published_about_the_spread_can_be_read():
    for spread in read_spreads():
        assert json.dumps(spread.sd)
        assert all(0 < sd < 1 for sd in spread.sd.values())
        assert len(spread.seeds) >= 3
