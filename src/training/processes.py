"""Says how many processes share a training, and when a launcher started fewer than it was asked for."""

import os
import sys
from collections.abc import Mapping

from src.core.processes import counted

HOW_TO = (
    "on processors use `torchrun --nproc_per_node N train.py device=cpu ...`, on GPUs `accelerate launch --multi_gpu`"
)


def report_processes(processes: int, device: str, images: int) -> None:
    """Prints how many processes train, and on standard error that they are fewer than the launcher was asked for.

    Args:
        processes: Processes of this training.
        device: Their kind of device.
        images: Images of one update over all of them.
    """
    print(describe_processes(processes, device, images), flush=True)
    warning = missing_processes(processes, os.environ)
    if warning is not None:
        print(warning, file=sys.stderr, flush=True)


def describe_processes(processes: int, device: str, images: int) -> str:
    """Words what runs.

    Args:
        processes: Processes of this training.
        device: Their kind of device.
        images: Images of one update over all of them.

    Returns:
        One line.
    """
    share = "" if processes == 1 else f", {images // processes} of the {images} images of an update each"
    return f"training in {processes} process{'' if processes == 1 else 'es'} on {device}{share}"


def missing_processes(processes: int, environment: Mapping[str, str]) -> str | None:
    """Finds out whether a launcher was asked for more processes than there are.

    `accelerate launch --cpu --num_processes 2` (1.15) starts a single process: it sets the address at which the others
    would meet, and no number.

    Args:
        processes: Processes of this training.
        environment: The process' environment.

    Returns:
        A warning, or None.
    """
    numbers = counted(environment)
    if numbers:
        enough, wanted = max(numbers) <= processes, f"{max(numbers)} processes"
    else:
        enough, wanted = processes > 1 or "MASTER_PORT" not in environment, "several processes"
    if enough:
        return None
    return f"warning: the launcher was asked for {wanted}, but this training has {processes}; {HOW_TO}"
