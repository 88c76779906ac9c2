"""Training and sampling at the true size of the bases on a GPU: seconds, memory, repeatability; beside diffusers.

`python -m benchmarks.bench_real_size [sd15] [sdxl] [sd3] [flux_dev]`, without a word the first two. The weights are
random: time and memory ask for no real ones. With SD 1.5 and SDXL each setting is timed in turn with the loop of
diffusers' own scripts (`plain_loop`). `tiny15`, `tinyxl`, `tiny3` and `tinyflux` are the same at toy size, for a
processor; `bash benchmarks/real_size.sh` runs it all on a machine that has torch and little else.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from benchmarks.bench_train import CAPTION, RANK, our_run
from benchmarks.common import machine, seconds
from benchmarks.plain_loop import plain_steps
from benchmarks.real_bases import NETWORKS, build
from benchmarks.real_sizes import SIZES
from src.core.files import sha256_bytes
from src.models.base import BaseModel
from src.models.quantized import text_parts
from src.sampling.generator import Job, SamplingSettings, sample
from src.sampling.prompts import Prompt
from src.training.determinism import set_deterministic, set_environment
from src.training.loop import train_step

PHOTOS, WARM, REPEATED = 4, 3, 3
# generated at once
IMAGES = {"sd": 8, "sdxl": 4, "sd3": 4, "flux": 1}


class Setting(NamedTuple):
    """How a model is trained.

    Attributes:
        base: What the frozen base is kept in.
        mixed: accelerate's mixed precision.
        batch: Images per update.
        recompute: Gradient checkpointing.
        repeatable: Deterministic kernels only, without TF32.
    """

    base: str
    mixed: str
    batch: int
    recompute: bool
    repeatable: bool


SETTINGS = {
    "sd15": [
        Setting("fp32", "no", 4, False, True),
        Setting("fp32", "no", 4, False, False),
        Setting("bf16", "bf16", 4, False, True),
        Setting("bf16", "bf16", 4, False, False),
        Setting("fp16", "fp16", 4, False, True),
        Setting("bf16", "bf16", 4, True, True),
    ],
    "sdxl": [
        Setting("bf16", "bf16", 1, True, True),
        Setting("bf16", "bf16", 4, True, True),
        Setting("bf16", "bf16", 4, False, True),
        Setting("fp16", "fp16", 1, True, True),
    ],
    "sd21": [Setting("bf16", "bf16", 4, False, True)],
    "sd3": [Setting("bf16", "bf16", 1, True, True), Setting("bf16", "bf16", 4, True, True)],
    "flux_dev": [Setting("bf16", "bf16", 1, True, True)],
    "tiny15": [Setting("fp32", "no", 2, False, True), Setting("bf16", "bf16", 2, True, True)],
    "tinyxl": [Setting("bf16", "bf16", 1, True, True)],
    "tiny3": [Setting("fp32", "no", 1, True, True)],
    "tinyflux": [Setting("fp32", "no", 1, True, True)],
}


def train(name: str, setting: Setting, folder: Path, updates: int) -> tuple[float, float, str]:
    """Trains an adapter from a fixed seed.

    Args:
        name: The model's.
        setting: How.
        folder: Nothing is written there.
        updates: How many, after WARM that are not timed.

    Returns:
        Seconds per update, GiB of GPU memory at most, and a digest of the adapter's weights.
    """
    accelerator, model, pixels = _prepare(name, setting)
    run = our_run(model, pixels, accelerator, folder, setting.batch, setting.recompute)
    model.pipeline.vae.to("cpu")
    for encoder in text_parts(model):
        getattr(model.pipeline, encoder).to("cpu")
    took, memory = _timed(lambda step: train_step(run, step), updates)
    weights = [p.detach().cpu().numpy().tobytes() for group in run.groups for p in group.parameters.values()]
    return took, memory, sha256_bytes(b"".join(weights))[:12]


def train_plainly(name: str, setting: Setting, updates: int) -> tuple[float, float]:
    """Trains as diffusers' scripts do.

    Args:
        name: The model's.
        setting: How.
        updates: How many, after WARM that are not timed.

    Returns:
        Seconds per update, and GiB of GPU memory at most.
    """
    accelerator, model, pixels = _prepare(name, setting)
    step = plain_steps(model, pixels, CAPTION, accelerator, setting.batch, RANK, setting.recompute)
    return _timed(lambda _: step(), updates)


def _prepare(name: str, setting: Setting) -> tuple[Accelerator, BaseModel, torch.Tensor]:
    set_deterministic(setting.repeatable)
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(mixed_precision=setting.mixed, cpu=not torch.cuda.is_available())
    model = build(name, setting.base, accelerator.device)
    side = SIZES[name].resolution
    pixels = torch.rand(PHOTOS, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return accelerator, model, pixels


def _timed(update: Callable[[int], object], updates: int) -> tuple[float, float]:
    torch.cuda.empty_cache()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    for step in range(WARM):
        update(step)
    took = seconds(lambda: [update(step) for step in range(WARM, WARM + updates)]) / updates
    return took, torch.cuda.max_memory_allocated() / 2**30


def rendering_seconds(name: str, dtype: str, device: torch.device) -> float:
    """Returns seconds per image, with guidance, as many at once as IMAGES says."""
    model, size = build(name, dtype, device), SIZES[name]
    batch, flows = IMAGES[size.family], size.family in NETWORKS
    sampler = "FlowMatchEulerDiscreteScheduler" if flows else "DPMSolverMultistepScheduler"
    guidance = 3.5 if flows else 7.5
    settings = SamplingSettings(size.resolution, 1, size.sample_steps, guidance, "", batch, 0, sampler, {}, dtype)
    jobs = [Job(Prompt(str(i), "test", "timed", ""), CAPTION, 0) for i in range(batch)]
    list(sample(model, settings, jobs[:1]))
    return seconds(lambda: list(sample(model, settings, jobs))) / batch


def report(name: str, setting: Setting, folder: Path) -> str:
    """Times a setting in turn with the plain loop (A B A B), and says whether two trainings give the same bytes.

    Args:
        name: A key of SIZES.
        setting: How.
        folder: Nothing is written there.

    Returns:
        A line.
    """
    size, beside = SIZES[name], ""
    if size.family in NETWORKS:  # no plain loop of theirs
        took, memory, _ = train(name, setting, folder, size.updates)
    else:
        pairs = [
            (train(name, setting, folder, size.updates), train_plainly(name, setting, size.updates))
            for _ in range(size.turns)
        ]
        ratios = sorted(plain[0] / ours[0] for ours, plain in pairs)
        (took, memory, _), (plain_took, plain_memory) = pairs[-1]
        beside = (
            f"; diffusers' loop {plain_took:.3f} s, {plain_memory:.1f} GiB: "
            f"{ratios[0]:.2f} to {ratios[-1]:.2f} times as fast"
        )
    line = f"{name} {setting}: {took:.3f} s an update, {setting.batch / took:.1f} images/s, {memory:.1f} GiB{beside}"
    if setting.repeatable:
        digests = {train(name, setting, folder, REPEATED)[2] for _ in range(2)}
        line += ", the same bytes twice" if len(digests) == 1 else ", NOT the same bytes twice"
    return line


def main(names: Sequence[str]) -> None:
    """Prints a line for each setting.

    Args:
        names: Keys of SIZES.

    Raises:
        SystemExit: A size is unknown, or needs a GPU and there is none.
    """
    for name in names:
        if name not in SIZES:
            raise SystemExit(f"bench_real_size: {name}: expected {', '.join(SIZES)}")
        if not torch.cuda.is_available() and not name.startswith("tiny"):
            raise SystemExit(f"bench_real_size: no GPU here; at the size of {name} a processor is no use")
    set_environment()
    print(machine())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            for setting in SETTINGS[name]:
                print(report(name, setting, Path(folder)), flush=True)
            for dtype in ("fp32", "bf16") if SIZES[name].family == "sd" else ("bf16",):
                print(
                    f"{name} generated in {dtype}: {rendering_seconds(name, dtype, device):.2f} s an image", flush=True
                )


if __name__ == "__main__":
    main(sys.argv[1:] or ["sd15", "sdxl"])
