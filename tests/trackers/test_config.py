"""The config group `tracker`: each choice alone and several at once, down to the built services."""

import pytest
from hydra.utils import instantiate

from src.core.config import load_config
from src.core.errors import ConfigError


@pytest.mark.parametrize(
    ("override", "names"),
    [
        ("tracker=none", []),
        ("tracker=tensorboard", ["tensorboard"]),
        ("tracker=clearml", ["clearml"]),
        ("tracker=wandb", ["wandb"]),
        ("tracker=[tensorboard,clearml]", ["tensorboard", "clearml"]),
    ],
)
def test_tracker_choices_compose_and_build_without_starting(override, names):
    services = instantiate(load_config([override]).tracker)
    assert [service.name for service in services.values()] == names


def test_tracker_default_is_tensorboard():
    assert list(load_config([]).tracker) == ["tensorboard"]


def test_tracker_option_of_a_choice_not_made_is_an_error():
    with pytest.raises(ConfigError, match=r"tracker\.clearml\.offline"):
        load_config(["tracker=tensorboard", "tracker.clearml.offline=true"])
