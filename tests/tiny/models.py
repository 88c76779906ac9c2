"""The small models of random weights, as `model=tiny`, `captioner=tiny` and `metric_models=tiny` name them.

The choices lie beside this file, and Hydra finds them in its store: they are the tests', no part of configs/.
"""

import shutil
from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

CHOICES = Path(__file__).parent / "configs"
PLACE = Path("models/tiny")
SEED = 0


def register_choices() -> None:
    """Makes them known to the compositions of this process."""
    for file in sorted(CHOICES.glob("*/*.yaml")):
        first = file.read_text().splitlines()[0]
        package = first.removeprefix("# @package ") if first.startswith("# @package") else None
        group = file.parent.name
        ConfigStore.instance().store(file.stem, OmegaConf.load(file), group, package or group, "tests")


def copy_choices(configs: Path) -> None:
    """Puts them into the configs/ of a copy of the project, whose programs know nothing of this process."""
    for file in sorted(CHOICES.glob("*/*.yaml")):
        shutil.copyfile(file, configs / file.relative_to(CHOICES))


def build_tiny(out: Path = PLACE, seed: int = SEED) -> None:
    """Builds a Stable Diffusion 1.x, a BLIP and the metric models in small; the same seed gives the same bytes."""
    from tests.tiny.captioner import build_captioner
    from tests.tiny.diffusion import build_diffusion
    from tests.tiny.metric_models import build_metric_models
    from tests.tiny.words import WORDS

    build_diffusion(out / "sd", "sd1", list(WORDS), seed)
    build_captioner(out / "blip", seed)
    build_metric_models(out / "metric_models", seed)
