"""Refuses what Accelerate's environment variables would change behind the parameters' back."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from src.core.errors import ConfigError

if TYPE_CHECKING:
    from accelerate import Accelerator

# as Accelerate reads them
TRUE = ("1", "true", "yes", "y", "on", "t")
# other engines, and other numbers than the parameters name
SWITCHES = (
    "ACCELERATE_USE_DEEPSPEED",
    "ACCELERATE_USE_FSDP",
    "ACCELERATE_USE_MEGATRON_LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG",
    "ACCELERATE_USE_SAGEMAKER",
    "ACCELERATE_DOWNCAST_BF16",
    "XLA_DOWNCAST_BF16",
    "XLA_USE_BF16",
)
DYNAMO = "ACCELERATE_DYNAMO_BACKEND"
# an explicit precision wins over ACCELERATE_MIXED_PRECISION, which `accelerate launch` always sets
ACCUMULATION = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"


def check_launch(environment: Mapping[str, str], accumulation: int) -> None:
    """Refuses variables that the Accelerator would read for the parameters, before it is built.

    Args:
        environment: Of this process.
        accumulation: train.gradient_accumulation_steps.

    Raises:
        ConfigError: One is set to something else than the parameters say; all of them are named.
    """
    wrong = [f"{name}={environment[name]}" for name in SWITCHES if environment.get(name, "").lower() in TRUE]
    if environment.get(DYNAMO, "no").lower() not in ("no", ""):
        wrong.append(f"{DYNAMO}={environment[DYNAMO]}")
    if environment.get(ACCUMULATION, str(accumulation)) != str(accumulation):
        wrong.append(f"{ACCUMULATION}={environment[ACCUMULATION]} (train.gradient_accumulation_steps={accumulation})")
    if wrong:
        raise ConfigError(f"the environment sets {', '.join(wrong)}: unset it, the parameters decide how to train")


def check_accelerator(accelerator: "Accelerator", precision: str, accumulation: int) -> None:
    """Compares what the Accelerator took with the parameters, whatever it was that told it otherwise.

    Args:
        accelerator: As built.
        precision: train.mixed_precision.
        accumulation: train.gradient_accumulation_steps.

    Raises:
        ConfigError: Something differs.
    """
    took = {
        "mixed precision": accelerator.mixed_precision,
        "gradient accumulation": str(accelerator.gradient_accumulation_steps),
        "dynamo": accelerator.state.dynamo_plugin.backend.value,
        "engine": accelerator.distributed_type.value,
    }
    wanted = {
        "mixed precision": (precision,),
        "gradient accumulation": (str(accumulation),),
        "dynamo": ("NO",),
        "engine": ("NO", "MULTI_CPU", "MULTI_GPU"),
    }
    wrong = [
        f"{name} {took[name]} (expected {' or '.join(wanted[name])})" for name in took if took[name] not in wanted[name]
    ]
    if wrong:
        raise ConfigError(f"Accelerate took {', '.join(wrong)}: unset its variables (ACCELERATE_*) and its config file")
