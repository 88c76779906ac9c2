"""The environment does not decide how to train."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from src.core.errors import ConfigError
from src.training.launch_settings import SWITCHES, check_accelerator, check_launch


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("value", ["true", "True", "1"])
def test_another_engine_is_refused_by_the_name_of_its_variable(name, value):
    with pytest.raises(ConfigError, match=f"the environment sets {name}={value}: unset it"):
        check_launch({name: value}, 1)


def test_accumulation_and_dynamo_are_refused_together():
    environment = {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "2", "ACCELERATE_DYNAMO_BACKEND": "INDUCTOR"}
    wanted = r"DYNAMO_BACKEND=INDUCTOR, .*STEPS=2 \(train.gradient_accumulation_steps=1\)"
    with pytest.raises(ConfigError, match=wanted):
        check_launch(environment, 1)


def test_what_accelerate_launch_sets_by_itself_passes():
    launched = {
        "ACCELERATE_DYNAMO_BACKEND": "NO",
        "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4",
        "ACCELERATE_MIXED_PRECISION": "no",
        "ACCELERATE_USE_CPU": "true",
        "ACCELERATE_USE_FSDP": "false",
    }
    check_launch(launched, 4)
    check_launch({}, 1)


def accelerator(precision="no", accumulation=1, dynamo="NO", engine="NO"):
    plugin = SimpleNamespace(backend=SimpleNamespace(value=dynamo))
    return SimpleNamespace(
        mixed_precision=precision,
        gradient_accumulation_steps=accumulation,
        state=SimpleNamespace(dynamo_plugin=plugin),
        distributed_type=SimpleNamespace(value=engine),
    )


@pytest.mark.parametrize(
    ("took", "message"),
    [
        ({"precision": "bf16"}, r"took mixed precision bf16 \(expected no\): unset"),
        ({"accumulation": 2}, r"took gradient accumulation 2 \(expected 1\)"),
        ({"dynamo": "INDUCTOR"}, "dynamo INDUCTOR"),
        ({"engine": "FSDP"}, "engine FSDP"),
    ],
)
def test_whatever_told_it_otherwise_is_refused(took, message):
    check_accelerator(accelerator(), "no", 1)
    with pytest.raises(ConfigError, match=message):
        check_accelerator(accelerator(**took), "no", 1)


def test_the_real_accelerator_takes_its_variables_and_is_refused():
    """In a process of its own, since Accelerate keeps one state."""
    code = """
from accelerate import Accelerator
from src.core.errors import ConfigError
from src.training.launch_settings import check_accelerator
import os
check_accelerator(Accelerator(mixed_precision="no", gradient_accumulation_steps=1, cpu=True), "no", 1)
os.environ["ACCELERATE_GRADIENT_ACCUMULATION_STEPS"] = "2"
try:
    check_accelerator(Accelerator(mixed_precision="no", gradient_accumulation_steps=1, cpu=True), "no", 1)
except ConfigError as error:
    print(error)
"""
    shown = subprocess.run([sys.executable, "-c", code], text=True, stdout=subprocess.PIPE, check=True).stdout
    assert shown.startswith("Accelerate took gradient accumulation 2 (expected 1)")
