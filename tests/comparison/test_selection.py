"""The checkpoint is chosen on the dev prompts, by likeness among those that keep their prompts."""

import pytest

from src.comparison.selected import Selection, read_selection, write_selection
from src.comparison.selection import SelectionRule, select_checkpoint
from src.core.errors import ConfigError, MetricError
from src.metrics.summary import score_table
from tests.metrics.synthetic import score

STEPS = {"step-000100": 100, "step-000200": 200, "step-000300": 300}
# public margins: 0.02 of likeness matter as little as 0.005 of prompt fidelity
BOTH = ("dino", "clip_t")
RULE = SelectionRule.of(0.02, {"dino": 0.02, "clip_t": 0.005})


def dev_table(dino, clip, base_clip=0.3):
    rows = [score("base", "d", base_clip, "clip_t", "none", "dev"), score("base", "d", 0.1, prompt_set="dev")]
    for variant, subject, prompt in zip(STEPS, dino, clip, strict=True):
        rows.append(score(variant, "d", subject, prompt_set="dev"))
        rows.append(score(variant, "d", subject + 0.3, references="train", prompt_set="dev"))
        rows.append(score(variant, "d", prompt, "clip_t", "none", "dev"))
        rows.append(score(variant, "t", 1 - subject))  # the opposite on the test prompts
    return score_table(rows)


def test_selection_takes_the_highest_dino_that_keeps_clip_t():
    selection = select_checkpoint(dev_table([0.5, 0.6, 0.7], [0.31, 0.285, 0.27]), STEPS, RULE, BOTH)
    assert selection.variant == "step-000200"
    assert "2 of 3 checkpoints with clip_t >= 0.28" in selection.sentence()


def test_selection_gives_ties_to_the_earlier_step():
    assert select_checkpoint(dev_table([0.6, 0.6, 0.5], [0.3] * 3), STEPS, RULE, BOTH).variant == "step-000100"
    assert select_checkpoint(dev_table([0.6] * 3, [0.1, 0.2, 0.2]), STEPS, RULE, BOTH).variant == "step-000200"


def test_selection_counts_the_margin_as_allowed():
    assert select_checkpoint(dev_table([0.5, 0.6, 0.7], [0.3, 0.3, 0.28]), STEPS, RULE, BOTH).variant == "step-000300"


def test_selection_weighs_both_and_says_so_when_no_checkpoint_keeps_clip_t():
    """The case that was found: one checkpoint that had learnt nothing (0.04), and one that had (0.30)."""
    embedded = SelectionRule(clip_t_margin=0.08, exchange=1.0)
    table = dev_table([0.04, 0.2, 0.3], [0.51, 0.48, 0.46], base_clip=0.6)
    selection = select_checkpoint(table, STEPS, embedded, BOTH)
    assert selection.variant == "step-000300"
    assert selection.sentence().startswith("NO checkpoint keeps clip_t >= 0.52")
    assert "0.060 below the bar of 0.520" in selection.missed
    kept = select_checkpoint(dev_table([0.04, 0.2, 0.3], [0.55] * 3, base_clip=0.6), STEPS, embedded, BOTH)
    assert kept.missed == ""


@pytest.mark.parametrize(("likeness", "chosen"), [(0.639, "step-000100"), (0.641, "step-000300")])
def test_what_clip_t_lacks_has_to_be_paid_for_in_likeness(likeness, chosen):
    """0.01 of clip_t weigh as 0.04 of likeness, by the margins."""
    table = dev_table([0.6, 0.1, likeness], [0.27, 0.1, 0.26])
    assert select_checkpoint(table, STEPS, RULE, BOTH).variant == chosen


def test_a_lone_checkpoint_that_misses_the_bar_is_told():
    table = dev_table([0.5, 0.6, 0.7], [0.2, 0.3, 0.3])
    alone = select_checkpoint(table, {"step-000100": 100}, RULE, BOTH)
    assert (alone.reason, "0.080 below the bar" in alone.missed) == ("only", True)


@pytest.mark.parametrize("margins", [{"dino": 0.02}, {"dino": 0.02, "clip_t": 0.0}])
def test_the_rule_needs_both_margins(margins):
    with pytest.raises(ConfigError, match=r"evaluate\.margins\.clip_t: expected a number above 0"):
        SelectionRule.of(0.02, margins)


def test_selection_without_dino_or_clip_t():
    table = dev_table([0.7, 0.6, 0.5], [0.1] * 3)
    last = select_checkpoint(table[table["metric"] != "dino"], STEPS, RULE, ["clip_t"])
    assert (last.variant, last.reason) == ("step-000300", "last")
    assert select_checkpoint(table[table["metric"] != "clip_t"], STEPS, RULE, ["dino"]).variant == "step-000100"


def test_selection_needs_dev_prompts_when_there_is_a_choice():
    table = dev_table([0.5, 0.6, 0.7], [0.3] * 3)
    test_only = table[table["set"] == "test"]
    with pytest.raises(MetricError, match="no dev prompts"):
        select_checkpoint(test_only, STEPS, RULE, BOTH)
    assert select_checkpoint(test_only, {"step-000100": 100}, RULE, BOTH).reason == "only"


def test_the_choice_is_read_as_it_was_written(tmp_path):
    chosen = Selection("step-000200", "rule", {"floor": 0.28, "margin": 0.02, "kept": 2, "checkpoints": 3})
    write_selection(tmp_path / "choice.json", chosen, {"step-000100": "a", "step-000200": "b"})
    assert read_selection(tmp_path / "choice.json", {"step-000200": "b", "step-000100": "a"}) == chosen


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file; it is made by"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"checkpoints": {}}', "damaged"),
        ('{"checkpoints": 5, "variant": "step-000100", "reason": "last"}', "damaged"),
        ('{"checkpoints": {"step-000100": "a"}, "variant": 3, "reason": "last"}', "damaged"),
        ('{"checkpoints": {"step-000100": "a"}, "variant": "step-000100", "reason": "nonsense"}', "damaged"),
        ('{"checkpoints": {"step-000100": "a"}, "variant": "step-000100", "reason": "rule"}', "damaged"),
    ],
)
def test_a_choice_that_cannot_be_read_names_the_stage_that_makes_it(tmp_path, content, words):
    path = tmp_path / "metrics/choice.json"
    path.parent.mkdir()
    if content is not None:
        path.write_text(content)
    with pytest.raises(MetricError, match=rf"{words}.*`python -m src\.stages\.choose exp\.run_dir={tmp_path}`"):
        read_selection(path, {"step-000100": "a"})


def test_a_choice_among_other_checkpoints_is_refused(tmp_path):
    write_selection(tmp_path / "choice.json", Selection("step-000100", "only"), {"step-000100": "a"})
    with pytest.raises(MetricError, match=r"made of other checkpoints than step-000100; make it again"):
        read_selection(tmp_path / "choice.json", {"step-000100": "b"})
