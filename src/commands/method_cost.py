"""What a method costs: trained numbers, seconds of a step, peak memory, size of a checkpoint.

`python -m src.commands.method_cost method=oft [KEY=VALUE ...]` trains a few steps on the photos that lie here (after
`dvc repro`), keeps nothing of it and prints a line of JSON. Peak memory is that of the GPU, or of the process.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from src.commands.usage import command_line
from src.core import layout
from src.core.building import build
from src.core.config import load_stage_params, quote_overrides
from src.core.config_errors import one_line
from src.core.settings import Settings
from src.reporting.comparison.study import Cost

if TYPE_CHECKING:
    from src.data.dataset import Dataset, Item

    # both sides of the split, and class images or none
    Photos = tuple[Dataset, list[Item]]

# updates that are timed, after those that warm up
STEPS, WARM_UP = 12, 3
# of ru_maxrss
UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


def measure_apart(overrides: Sequence[str]) -> Cost | None:
    """Measures in a process of its own, whose memory nothing else has filled.

    Args:
        overrides: Of the configuration.

    Returns:
        The cost; None where it cannot be measured, the reason is printed.
    """
    command = [sys.executable, "-m", "src.commands.method_cost", *overrides]
    ended = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    return None if ended.returncode else Cost(**json.loads(ended.stdout.splitlines()[-1]))


def own_photos(params: Settings) -> "Photos":
    """Reads the photos that lie here, and the class images where they are wanted.

    Args:
        params: Of the stage `train`.

    Returns:
        As training takes them; errors as of `load_dataset` and `load_class_images`.
    """
    from src.data.dataset import load_class_images, load_dataset
    from src.stages.class_images import wants_class_images

    size, prior = params.model.resolution, params.prior.prompt
    photos = load_dataset(layout.CROPS, layout.CAPTIONS, layout.SPLIT, params.subject.token, size)
    return photos, load_class_images(layout.CLASS_IMAGES, prior, size) if wants_class_images(params) else []


def measure(params: Settings, photos: "Photos", steps: int = STEPS) -> tuple[Cost, float]:
    """Trains a few steps.

    Args:
        params: Of the stage `train`.
        photos: What to train on.
        steps: How many are timed.

    Returns:
        The cost, and the operations of a step, TFLOP.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from src.stages.train import build_accelerator
    from src.stages.training_checks import check_settings
    from src.stages.training_setup import build_plan, build_run
    from src.trackers.multi import MultiTracker
    from src.training.determinism import set_deterministic
    from src.training.loop import train_step
    from src.training.schedule_free import prepare_updates
    from src.training.state import StateFolder

    set_deterministic(params.train.deterministic)
    accelerator = build_accelerator(params)
    parts = build(params.method, "method"), build(params.loss, "loss"), build(params.lr_schedule, "lr_schedule")
    check_settings(params, parts[0])
    with TemporaryDirectory() as name:
        state = StateFolder(Path(name))
        plan = build_plan(params)
        run = build_run(params, plan, accelerator, parts, photos, state, MultiTracker([]), None)
        prepare_updates(run.optimizer)
        seconds = []
        for step in range(WARM_UP + steps):
            began = time.perf_counter()
            train_step(run, step)
            if accelerator.device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
        peak = torch.cuda.max_memory_allocated() if accelerator.device.type == "cuda" else peak_bytes()
        with FlopCounterMode(display=False) as counter:
            train_step(run, WARM_UP + steps)
        checkpoint = Path(name) / "checkpoint"
        run.hooks.save_checkpoint(checkpoint)
        size_bytes = sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file())
    trained = sum(weight.numel() for group in run.groups for weight in group.parameters.values())
    cost = Cost(trained, round(median(seconds[WARM_UP:]), 4), round(peak / 2**20, 1), round(size_bytes / 2**20, 3))
    return cost, counter.get_total_flops() / 1e12


def peak_bytes() -> int:
    """Returns the most memory that this process has taken, bytes."""
    status = Path("/proc/self/status")
    if status.is_file():  # a child inherits its parent's ru_maxrss, not this
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT_BYTES


@one_line("method_cost")
def main() -> None:
    """Measures and prints.

    Raises:
        SystemExit: It cannot be trained.
    """
    parser = command_line("method_cost", __doc__)
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE")
    params = load_stage_params("train", quote_overrides(parser.parse_args().settings))
    print(json.dumps(asdict(measure(params, own_photos(params))[0])))


if __name__ == "__main__":
    main()
