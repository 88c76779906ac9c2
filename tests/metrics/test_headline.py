"""DVC compares numbers under one key: what it shows is little, and named after the model that measured."""

from itertools import combinations

import pytest

from src.core.config import load_settings
from src.metrics.headline import headline
from src.metrics.summary import score_table, summarise
from src.stages.evaluate import build_metrics
from tests.metrics.synthetic import score


def quantities_of(model):
    metrics = build_metrics(load_settings([f"model={model}"]))
    return {quantity.name: quantity for metric in metrics for quantity in metric.quantities()}


def test_two_models_never_share_a_key():
    keys = [{one.key for one in quantities_of(name).values() if one.model} for name in ("tiny", "tabletop", "sd15")]
    assert all(len(of_one) == 8 for of_one in keys)
    assert all(not first & second for first, second in combinations(keys, 2))


def test_only_dino_is_called_by_dinos_name():
    assert quantities_of("sd15")["dino"].key == "dino_vits16"
    embedded = quantities_of("tabletop")
    assert (embedded["dino"].key, embedded["copy_gap"].key) == ("dino_tabletop", "copy_gap_tabletop")
    assert "not DINO" in embedded["dino"].title


def test_headline_is_the_run_and_what_it_gained():
    rows = [
        score(variant, f"p{p}", value + shift, metric, seed=seed)
        for variant, shift in (("base", 0.0), ("step-000010", 0.25))
        for metric, value in (("dino", 0.1), ("clip_i", 0.2), ("clip_t", 0.3), ("pres", 0.4))
        for p in range(3)
        for seed in range(2)
    ]
    table, steps = score_table(rows), {"step-000010": 10}
    found = headline(summarise(table, steps, "step-000010", {}, ["dino"]), quantities_of("tabletop"))
    assert found == {
        "selected_step": 10,
        "dino_tabletop": pytest.approx(0.35),
        "dino_tabletop_gain": pytest.approx(0.25),
        "clip_t_tabletop": pytest.approx(0.55),
        "clip_t_tabletop_gain": pytest.approx(0.25),
        "pres_tabletop": pytest.approx(0.65),
    }
