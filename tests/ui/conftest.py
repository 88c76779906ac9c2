"""A project with held-out photos, in small."""

from pathlib import Path

import pytest
from PIL import Image

from tests.stages.own_prompts import TINY


@pytest.fixture
def held_out(own_prompts, adapters, metric_models_folder):
    """The working directory has crops, a split, two adapters, and metric models; returns overrides."""
    Path("data/crops").mkdir(parents=True)
    rows = []
    for number in range(4):
        Image.effect_noise((64, 64), 40 + 20 * number).convert("RGB").save(f"data/crops/p{number}.png")
        rows.append(f"p{number},p{number},{'val' if number < 2 else 'train'}\n")
    Path("data/split.csv").write_text("image_id,group,split\n" + "".join(rows))
    link = adapters / "models/tiny/metric_models"
    if not link.exists():
        link.symlink_to(metric_models_folder)
    return [*TINY, "metric_models=tiny"]
