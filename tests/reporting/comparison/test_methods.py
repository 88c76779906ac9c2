"""The pages of a comparison of methods: what they say follows from the runs."""

import pytest

from src.comparison.rates import Tried
from src.comparison.study import Contestant
from src.reporting.comparison.methods import Cost, Study, conclusions, describe_study, verdict_table, write_study
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
    rates = {"lora": ("lr", 1e-4), "oft": ("lr", 2e-4), "textual_inversion": ("method.lr", 3e-4)}
    return Study(contestants, rates, {"lora": tried}, costs)


def test_what_is_better_one_way_is_worse_the_other(study):
    table = verdict_table(study)
    marks = {a: {b: verdict.value for b, verdict in of.items()} for a, of in table.items()}
    assert marks["lora"] == {"oft": "EQUIVALENT", "textual_inversion": "BETTER"}
    assert marks["textual_inversion"] == {"lora": "WORSE", "oft": "WORSE"}


def test_the_conclusions_follow_from_means_pairs_and_costs(study):
    likeness, fidelity, kept, cheap, small = conclusions(study, load_texts("en"))
    assert likeness.startswith("Where likeness matters most: lora (")
    assert likeness.endswith("Not shown to be behind it: oft.")
    assert "lora" in fidelity
    assert kept == "No other has more of both: lora."
    assert cheap == "Among those the smallest file is that of oft (1.25 MiB), the fastest step that of lora."
    assert "12 images and one training seed" in small


def test_markdown_has_every_setting_pair_cost_and_rate_and_the_conclusions_in_russian_too(study):
    told = describe_study(study)
    assert "| lora | 0.0001 | 5 | 0.780 ± 0.010 |" in told
    assert "| base |  |  | 0.100 |" in told
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
