"""How many prompts a verdict takes: benchmarks/bench_power.py, and the margins that it is measured with."""

import numpy as np
import pytest

from benchmarks.bench_power import SPREADS, largest_spread, simulate, variance_components
from src.comparison import statistics
from src.comparison.statistics import Verdict, adjust, verdict_of
from src.core.config import load_config
from src.core.errors import MetricError
from src.metrics import intervals

SPREAD = SPREADS["a run against its base"]
MARGINS = {"dino": 0.02, "clip_t": 0.04}


def test_spread_is_split_into_prompts_and_images():
    random = np.random.default_rng(0)
    grid = random.normal(0, 0.3, (4000, 1)) + random.normal(0, 0.5, (4000, 3))
    assert variance_components(grid) == pytest.approx((0.3, 0.5), rel=0.03)
    assert variance_components(np.array([[1.0, -1.0], [-1.0, 1.0]])) == (0.0, pytest.approx(2**0.5))
    with pytest.raises(MetricError, match="num_images_per_prompt=2"):
        variance_components(grid[:, :1])


def test_more_prompts_reach_a_verdict_sooner_than_more_images_at_the_same_cost(monkeypatch):
    for module in (intervals, statistics):
        monkeypatch.setattr(module, "DRAWS", 300)
    better = [
        sum(verdict_of(pair, MARGINS, adjust(pair, 1)) is Verdict.BETTER for pair in simulate(SPREAD, design, 0.08, 60))
        for design in ((12, 4), (24, 2), (48, 1))
    ]
    assert better[0] < better[1] < better[2]


def test_largest_spread_lets_four_of_five_comparisons_reach_a_verdict(monkeypatch):
    """0.8 of 200 normal generates: within 0.71 and 0.89 in 99.8 % of repeats; likeness itself is certain here."""
    for module in (intervals, statistics):
        monkeypatch.setattr(module, "DRAWS", 300)
    spread = {"dino": (0.0, 0.01), "clip_t": (0.0, largest_spread(MARGINS["clip_t"], 48))}
    generated = simulate(spread, (48, 1), 0.08, 200)
    assert 0.71 <= sum(verdict_of(pair, MARGINS, adjust(pair, 1)) is Verdict.BETTER for pair in generated) / 200 <= 0.89


@pytest.mark.parametrize(("model", "clip_scale"), [("sd15", 1), ("tabletop", 4)])
def test_margins_are_a_fifth_of_what_people_begin_to_prefer(model, clip_scale):
    """DreamBooth (arXiv:2208.12242): 0.1 of DINO, 0.05 of CLIP-T; the embedded CLIP tells captions apart by 4 times."""
    margins = load_config([f"model={model}"]).evaluate.margins
    assert margins.dino == pytest.approx(0.1 / 5)
    assert margins.clip_t == pytest.approx(0.05 / 5 * clip_scale)
