import numpy as np
import pandas as pd
import pytest

from src.metrics.intervals import DRAWS, against_base, nested_bootstrap


def simulate(random, prompts=25, seeds=4, effect=0.0):
    """The variances of evaluation.md 3.3: prompts differ by .04, images of a prompt by .06."""
    return effect + random.normal(0, 0.04, (prompts, 1)) + random.normal(0, 0.06, (prompts, seeds))


def test_interval_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(0)
    covered = 0
    for repeat in range(300):
        interval = nested_bootstrap(simulate(random, effect=0.02), repeat)
        covered += interval.low <= 0.02 <= interval.high
    assert 0.92 <= covered / 300 <= 0.985


def test_no_difference_is_zero_exactly():
    interval = nested_bootstrap(np.zeros((5, 2)), 0)
    assert (interval.mean, interval.low, interval.high) == (0, 0, 0)


def test_prompts_are_resampled_not_images():
    """Ten seeds that agree within each prompt tell no more than one of them."""
    random = np.random.default_rng(1)
    prompts = random.normal(0, 1, (12, 1))
    one, ten = nested_bootstrap(prompts, 0), nested_bootstrap(np.repeat(prompts, 10, axis=1), 0)
    assert ten.high - ten.low == pytest.approx(one.high - one.low, rel=0.05)
    assert one.high - one.low == pytest.approx(2 * 1.96 * prompts.std() / np.sqrt(12), rel=0.12)


def test_the_same_seed_gives_the_same_interval():
    values = simulate(np.random.default_rng(2))
    assert nested_bootstrap(values, 3) == nested_bootstrap(values, 3)
    assert nested_bootstrap(values, 3) != nested_bootstrap(values, 4)
    assert DRAWS == 10_000


def rows(variant, values, prompt_set="test", references="val"):
    return [
        (variant, f"p{p}", prompt_set, "g", k, "dino_vits16", references, value, "")
        for p, of_prompt in enumerate(values)
        for k, value in enumerate(of_prompt)
    ]


def test_pairs_by_prompt_and_seed_and_reads_the_held_out_rows_of_the_test_prompts_only():
    base = np.array([[0.1, 0.2], [0.5, 0.7], [0.4, 0.1]])
    table = pd.DataFrame(
        [
            *rows("base", base),
            *rows("step-2", base + 0.25),
            *rows("step-2", base + 9, prompt_set="dev"),
            *rows("step-2", base + 9, references="train"),
        ],
        columns=["variant", "prompt_id", "set", "group", "seed", "metric", "references", "value", "reason"],
    )
    interval = against_base(table.sample(frac=1, random_state=0), "step-2")["dino_vits16"]
    assert interval.mean == pytest.approx(0.25)
    assert interval.low == pytest.approx(0.25)
    table.loc[(table.variant == "step-2") & (table.prompt_id == "p0") & (table.seed == 1), "value"] = np.nan
    assert against_base(table, "step-2")["dino_vits16"].mean == pytest.approx(0.25)
    assert against_base(table[table.variant == "base"], "step-2") == {}
