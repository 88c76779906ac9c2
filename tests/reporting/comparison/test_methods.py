"""The pages of a comparison of methods: what they say follows from the runs."""

from dataclasses import replace

import pandas as pd
import pytest

from src.comparison.rates import Tried
from src.comparison.study import Contestant
from src.reporting.comparison.methods import conclusions, describe_study, verdict_table, write_study
from src.reporting.comparison.study import Cost, Rate, Study
from src.reporting.texts import load_texts
from tests.comparison.finished_runs import write_run


def contestant(folder, name, effects, lr):
    runs = [
        write_run(folder / f"{name}{n}", effect, 7, params={"seed": n, "lr": lr, "prior": {"weight": 0.0, "seed": n}})
        for n, effect in enumerate(effects)
    ]
    return Contestant(name, tuple(runs))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("methods")
    contestants = [
        contestant(folder, "lora", [0.3, 0.31, 0.29, 0.305, 0.295], 1e-4),
        contestant(folder, "oft", [0.3, 0.312, 0.29, 0.3, 0.295], 2e-4),
        contestant(folder, "textual_inversion", [0.1, 0.11, 0.12, 0.105, 0.115], 3e-4),
    ]
    tried = [Tried(1e-4, {"dino": 0.4, "clip_t": 0.6}, 0.6), Tried.failed(3e-4)]
    costs = {"lora": Cost(1000, 0.25, 900, 5.5), "oft": Cost(500, 0.5, 950, 1.25)}
    rates = {"lora": Rate("lr", 1e-4, tried), "oft": Rate("lr", 2e-4), "textual_inversion": Rate("method.lr", 3e-4)}
    return Study(contestants, rates, {"lora": tried}, costs, ("hra",))


def test_what_is_better_one_way_is_worse_the_other(study):
    table = verdict_table(study)
    marks = {a: {b: verdict.value for b, verdict in of.items()} for a, of in table.items()}
    assert marks["lora"] == {"oft": "EQUIVALENT", "textual_inversion": "BETTER"}
    assert marks["textual_inversion"] == {"lora": "WORSE", "oft": "WORSE"}


def test_the_conclusions_follow_from_means_pairs_and_costs(study):
    likeness, fidelity, best, cheap, small = conclusions(study, load_texts("en"))
    assert likeness.startswith("Where likeness matters most: lora (")
    assert likeness.endswith("Not shown to be behind it: oft.")
    assert "lora" in fidelity
    assert best == "By the means alone, no other has more of both: lora."
    assert cheap == "Among those the smallest file is that of oft (1.25 MiB), the fastest step that of lora."
    assert "12 images and one training seed" in small


def test_of_those_not_behind_the_one_is_named_that_changes_unrelated_pictures_least(study):
    def with_unrelated(contestant, value):
        runs = []
        for run in contestant.runs:
            rows = run.scores[(run.scores["metric"] == "dino") & (run.scores["set"] == "test")].head(8)
            apart = rows.assign(metric="unrelated", set="unrelated", references="none", value=value)
            runs.append(replace(run, scores=pd.concat([run.scores, apart])))
        return Contestant(contestant.name, tuple(runs))

    changed = [with_unrelated(one, value) for one, value in zip(study.contestants, (0.2, 0.4, 0.9), strict=True)]
    told = conclusions(replace(study, contestants=changed), load_texts("en"))
    wanted = "Among those not behind in likeness, by the means oft changes unrelated pictures least (unrelated 0.400)."
    assert wanted in told


def test_markdown_has_every_setting_pair_cost_and_rate_and_the_conclusions_in_russian_too(study):
    told = describe_study(study)
    assert "| lora | lr=0.0001\\* | 5 | 0.780 ± 0.010 |" in told
    assert "| oft | lr=0.0002 | 5 |" in told
    assert "| base |  |  | 0.100 |" in told
    assert "fewer than two of their trainings are there: hra." in told
    assert "in dino, clip_t: + better" in told or "in dino, clip\\_t: + better" in told
    assert "| textual\\_inversion | − | − |  |" in told or "| textual_inversion | − | − |  |" in told
    assert "| oft | 500 | 0.500 | 950 | 1.25 |" in told
    assert "| lora | 0.0001: 0.400, 0.600 ←; 0.0003: ended in an error |" in told
    assert "Если важнее всего сходство: lora" in told
    rows = [line for line in told.splitlines() if line.startswith("|")]
    assert len(rows) == (2 + 4) + (2 + 3) + (2 + 2) + (2 + 1)


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_page_loads_nothing_and_its_figure_is_written_as_numbers(study, tmp_path, language):
    write_study(tmp_path / "page.html", study, language)
    page = (tmp_path / "page.html").read_text()
    assert load_texts(language)("methods.nav.conclusions") in page
    assert "textual_inversion" in page
    assert 'src="http' not in page
    table = (tmp_path / "page_figures/plane-settings.csv").read_text().splitlines()
    assert len(table) == 1 + 3
    assert {"name", "dino", "dino_low", "dino_high", "clip_t", "front"} <= set(table[0].split(","))
