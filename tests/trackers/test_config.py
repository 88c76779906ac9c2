"""The config group `tracker`: each choice alone and several at once, down to the built services."""

import pytest

from src.core.building import build_each
from src.core.config import load_config, load_settings
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
    services = build_each(load_settings([override]).tracker, "tracker")
    assert [service.name for service in services] == names


def test_tracker_default_is_tensorboard():
    assert list(load_config([]).tracker) == ["tensorboard"]


def test_tracker_option_of_a_choice_not_made_is_an_error():
    with pytest.raises(ConfigError, match=r"tracker\.clearml\.offline"):
        load_config(["tracker=tensorboard", "tracker.clearml.offline=true"])
