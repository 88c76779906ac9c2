"""One command compares methods, each at a rate of its own; its runs are made up here, DVC is asked for nothing."""

import sys

import pytest

from src.commands import methods
from src.commands.methods import RATE_SEED, read_settings, run_study
from src.core.digest import CONFIGS
from src.core.errors import ConfigError, MetricError, NonFiniteError
from tests.comparison.finished_runs import write_run

pytestmark = pytest.mark.usefixtures("without_data")

# what the best rate of each is, as a multiple of what configs/ say, and the likeness that it reaches
BEST = {"lora": (1, 0.3), "oft": (9, 0.2), "textual_inversion": (1, 0.1)}


class Project:
    """Trainings that come to what BEST says; at 27 times the configured rate the numbers become NaN."""

    def __init__(self, folder):
        self.folder, self.done, self.ran = folder, {}, []
        self.killed, self.bad_seed = False, ""

    def run(self, trial):
        words = dict(word.split("=", 1) for word in trial.overrides)
        rate = float(words.get("method.lr", words.get("lr", 0)))
        self.ran.append((words["method"], rate, int(words["seed"])))
        default = 5e-3 if words["method"] == "textual_inversion" else 1e-4
        factor, likeness = BEST[words["method"]]
        if self.killed:
            return 137
        if rate > 20 * default or words["seed"] == self.bad_seed:
            return NonFiniteError.exit_status
        seed = int(words["seed"])
        reached = likeness - 0.01 * abs(rate / default - factor)
        params = {"seed": seed, "prior": {"weight": 0.0, "seed": seed}, "method": words["method"], "lr": rate}
        path = self.folder / f"{trial.name}"
        self.done[trial.name] = write_run(path, reached + 0.002 * (seed % 5), 7, params=params, dev=(reached, 0.5))
        return 0


@pytest.fixture
def project(tmp_path, monkeypatch):
    found = Project(tmp_path)
    monkeypatch.setattr(methods, "train_and_measure", lambda trial: found.run(trial))
    monkeypatch.setattr(methods, "check_trainable", lambda _: None)
    monkeypatch.setattr(methods, "finished_experiments", lambda: set(found.done))
    monkeypatch.setattr(methods, "read_run", lambda name: found.done[name])
    return found


def settings(*words):
    return read_settings(words, ["model=sd15", "lr=1e-4"])


def test_a_setting_is_a_method_with_overrides_of_its_own():
    first, second = read_settings(["lora", "lora prior.weight=1 prior.form=prediction"], ["model=tabletop"])
    assert (first.rate_key, first.rate, first.params["prior"]["weight"]) == ("lr", 5e-4, 0)
    assert (second.params["prior"]["weight"], second.params["prior"]["form"]) == (1, "prediction")
    assert second.params["inference_metrics"][-1] == "unrelated"
    ten = read_settings(["lora", "oft"], ["validation_args.num_unrelated_images=10"])[0]
    assert ten.params["validation_args"]["num_unrelated_images"] == 10
    assert second.params["validation_args"]["num_unrelated_images"] == 1
    assert read_settings(["textual_inversion", "lora"], [])[0].rate_key == "method.lr"


def test_without_settings_every_method_is_compared():
    names = [setting.name for setting in read_settings([], [])]
    assert {"lora", "oft", "dreambooth", "textual_inversion", "custom_diffusion"} <= set(names)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lora"], "two different settings or more, found lora"),
        (["lora", "lora"], "two different settings or more"),
        (["lora seed=3", "oft"], "seeds are what --seeds is for"),
        (["lora", "oft ++method=lora"], "a method stands first in its setting"),
        (["lora", "lora rank=16"], "two different settings or more"),
        (["lora validation_args.guidance_scale=9", "oft"], "differ in validation_args.guidance_scale"),
        (["lora split.seed=3", "oft"], "differ in split.seed"),
        (["lora model.id=models/other", "oft"], "oft: has another base model than lora"),
        (["lora lr=0", "oft"], "lr=0, expected a rate above 0"),
        (["lora inference_metrics=[dino]", "oft"], "add clip_t"),
        (["lora 'open", "oft"], "expected a method, then overrides"),
        (["", "oft"], "expected a method, then overrides"),
        (["lora", "magic"], "magic"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_any_training(words, message):
    with pytest.raises(ConfigError, match=message):
        read_settings(words, [])


def test_each_method_is_trained_at_the_rate_that_the_dev_prompts_chose_with_a_seed_of_its_own(project):
    study = run_study(settings("lora", "oft", "textual_inversion"), [42, 1], lambda: False, False)
    assert study.rates["lora"].shown == "lr=0.0001"
    # the search went beyond its edge, and past a training that failed
    assert study.rates["oft"].shown == "lr=0.0009"
    assert [one.rate for one in study.tried["oft"] if not one.dev] == [2.7e-3]
    assert study.rates["textual_inversion"].shown == "method.lr=0.005"
    searched = [run for run in project.ran if run[2] == RATE_SEED]
    compared = [run for run in project.ran if run[2] != RATE_SEED]
    assert len(searched) == 3 + 5 + 3
    # the seeds in turn, so that a part of it can be compared
    assert [run[2] for run in compared] == [42, 42, 42, 1, 1, 1]
    assert {run[:2] for run in compared} == {("lora", 1e-4), ("oft", 9e-4), ("textual_inversion", 5e-3)}


def test_the_same_command_goes_on_and_trains_nothing_twice(project):
    run_study(settings("lora", "textual_inversion"), [42, 1], lambda: False, False)
    before = len(project.ran)
    again = run_study(settings("lora", "textual_inversion"), [42, 1], lambda: False, False)
    assert len(project.ran) == before
    assert [len(one.runs) for one in again.contestants] == [2, 2]


def test_when_the_time_is_up_what_is_there_is_compared(project):
    late = lambda: len(project.ran) >= 3 + 3 + 5  # noqa: E731
    study = run_study(settings("lora", "textual_inversion"), [42, 1, 2], late, False)
    assert {one.name: len(one.runs) for one in study.contestants} == {"lora": 3, "textual_inversion": 2}
    none = run_study(settings("lora", "oft"), [7, 8], lambda: True, False)
    assert not none.contestants


def test_a_rate_that_a_person_chose_is_not_looked_for(project):
    chosen = settings("lora lr=0.000123456789", "textual_inversion method.lr=1e-3")
    study = run_study(chosen, [42, 1], lambda: False, False)
    assert [rate.shown for rate in study.rates.values()] == ["lr=0.000123457", "method.lr=0.001"]
    assert {run[1] for run in project.ran} == {0.000123456789, 1e-3}
    assert (study.tried, len(project.ran)) == ({}, 4)


def test_a_training_that_was_killed_says_nothing_about_its_rate(project):
    project.killed = True
    with pytest.raises(MetricError, match="ended with status 137"):
        run_study(settings("lora", "oft"), [42, 1], lambda: False, False)
    project.killed = False
    study = run_study(settings("lora", "oft"), [42, 1], lambda: False, False)
    assert [one.dev == {} for one in study.tried["lora"]] == [False] * 3


def test_a_seed_that_diverges_does_not_stop_the_others(project):
    project.bad_seed = "1"
    study = run_study(settings("lora", "oft"), [42, 1, 2], lambda: False, False)
    assert {one.name: len(one.runs) for one in study.contestants} == {"lora": 2, "oft": 2}
    few = run_study(settings("lora", "oft"), [42, 1], lambda: False, False)
    assert (few.contestants, few.left_out) == ([], ("lora", "oft"))


def test_a_method_that_no_rate_trains_is_left_out(project, monkeypatch):
    diverges = NonFiniteError.exit_status
    run = lambda trial: diverges if "method=oft" in trial.overrides else project.run(trial)  # noqa: E731
    monkeypatch.setattr(methods, "train_and_measure", run)
    study = run_study(settings("lora", "oft"), [42, 1], lambda: False, False)
    assert ([one.name for one in study.contestants], study.left_out) == (["lora"], ("oft",))
    assert "oft" not in study.rates


def test_a_method_that_cannot_train_the_base_is_refused_before_any_training():
    found = read_settings(["custom_diffusion", "dreambooth"], ["model=sdxl"])
    with pytest.raises(ConfigError, match=r"train\.base_dtype=bf16"):
        methods.check_trainable(found)


def test_the_seed_of_the_search_is_none_of_those_compared(project):
    with pytest.raises(ConfigError, match="1000 is the seed that rates are chosen with"):
        run_study(settings("lora", "oft"), [1, 1000], lambda: False, False)


def test_the_command_tells_writes_the_page_and_the_part_of_a_document(project, tmp_path, monkeypatch, capsys):
    document = tmp_path / "methods.md"
    document.write_text("# Methods\n\n<!-- comparison of methods -->\nold\n<!-- end of the comparison -->\n\nMore.\n")
    words = ["lora", "textual_inversion", "-S", "lr=1e-4", "--seeds", "3", "--into", str(document)]
    monkeypatch.setattr(sys, "argv", ["methods", *words, "--out", str(tmp_path / "page.html")])
    methods.main()
    printed = capsys.readouterr().out
    assert "| lora | lr=0.0001 | 3 |" in printed
    content = document.read_text()
    assert printed.strip() in content
    assert "old" not in content
    assert content.endswith("<!-- end of the comparison -->\n\nMore.\n")
    assert "Where likeness matters most: lora" in (tmp_path / "page.html").read_text()
    assert len(project.ran) == 12


def test_the_documents_have_a_place_for_the_tables():
    methods.write_between(CONFIGS.parent / "docs/methods.md", None)


def test_too_little_to_compare_is_one_line(project, tmp_path, monkeypatch, capsys):
    words = ["lora", "oft", "--minutes", "0", "--out", str(tmp_path / "page.html")]
    monkeypatch.setattr(sys, "argv", ["methods", *words])
    with pytest.raises(SystemExit):
        methods.main()
    assert "fewer than two settings have two runs yet; the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--into", "plain.md"], ["--language", "xx"]])
def test_what_could_not_be_written_is_refused_before_any_training(project, tmp_path, monkeypatch, capsys, words):
    (tmp_path / "plain.md").write_text("nothing")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(methods, "check_lock", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["methods", "lora", "oft", *words])
    with pytest.raises(SystemExit):
        methods.main()
    assert "expected" in capsys.readouterr().err
    assert not project.ran
