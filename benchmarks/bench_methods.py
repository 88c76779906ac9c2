"""What each method costs at the true size of the bases: trained numbers, seconds of an update, memory, FLOPs.

`python -m benchmarks.bench_methods [sd15] [sdxl] [sd3] [flux_dev] [METHOD ...]` on a GPU, without a size the first two;
`tiny15`, `tinyxl`, `tiny3` and `tinyflux` are the same at toy size, for a processor. The weights are random. Each
method is measured in a process of its own. The floor is what its operations would take at the rate of a large product
of matrices on the same device.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.bench_real_size import PHOTOS, WARM
from benchmarks.bench_train import our_run
from benchmarks.common import machine, seconds
from benchmarks.real_bases import NETWORKS, build
from benchmarks.real_sizes import SIZES
from src.commands.method_cost import peak_bytes
from src.core.building import build as build_part
from src.core.config import load_settings
from src.core.digest import CONFIGS
from src.stages.training_setup import place
from src.training.determinism import set_deterministic, set_environment
from src.training.loop import train_step

BATCH = {"sd": 4, "sdxl": 1, "sd3": 1, "flux": 1}
# whose configs/model a toy size stands for
TOYS = {"tiny15": "sd15", "tinyxl": "sdxl", "tiny3": "sd3", "tinyflux": "flux_dev"}
# of the matrices that the device's rate is measured by
SIDE = 4096


def measure(name: str, method_name: str) -> dict[str, float]:
    """Trains a few updates.

    Args:
        name: A key of SIZES.
        method_name: A file of configs/method.

    Returns:
        ``parameters``, ``seconds`` an update, ``gib`` at most (of the GPU, else of the process), ``tflop`` an update,
        and ``floor``, the seconds of those.
    """
    set_environment()
    set_deterministic(True)
    base, size = TOYS.get(name, name), SIZES[name]
    params = load_settings([f"model={base}", f"method={method_name}", "subject=toy"])
    method = build_part(params.method, "method")
    on_gpu = torch.cuda.is_available()
    accelerator = Accelerator(mixed_precision="bf16" if on_gpu else "no", cpu=not on_gpu)
    model = build(name, "bf16" if on_gpu and not method.needs_fp32 else "fp32", accelerator.device)
    pixels = torch.rand(PHOTOS, 3, size.resolution, size.resolution, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with tempfile.TemporaryDirectory() as folder:
        run = our_run(model, pixels, accelerator, Path(folder), BATCH[size.family], size.family != "sd", method)
        place(model, vae=False, text=method.trains_text)
        if on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        for step in range(WARM):
            train_step(run, step)
        updates = size.updates
        took = seconds(lambda: [train_step(run, WARM + step) for step in range(updates)]) / updates
        peak = torch.cuda.max_memory_allocated() if on_gpu else peak_bytes()
        with FlopCounterMode(display=False) as counter:
            train_step(run, WARM + updates)
    trained = sum(weight.numel() for group in run.groups for weight in group.parameters.values())
    flops = counter.get_total_flops()
    floor = flops / flops_per_second(accelerator.device, torch.bfloat16 if on_gpu else torch.float32)
    return {"parameters": trained, "seconds": took, "gib": peak / 2**30, "tflop": flops / 1e12, "floor": floor}


def flops_per_second(device: torch.device, dtype: torch.dtype) -> float:
    """Returns the rate of a product of two square matrices, the best of three."""
    side = SIDE if device.type == "cuda" else SIDE // 4
    matrix = torch.rand(side, side, device=device, dtype=dtype)
    return 2 * side**3 / min(seconds(lambda: matrix @ matrix) for _ in range(4))


def line(name: str, method: str, found: dict[str, float]) -> str:
    """Returns a row of the table."""
    return (
        f"| {name} | {method} | {found['parameters']:,} | {found['seconds']:.3f} | {found['gib']:.1f} "
        f"| {found['tflop']:.3g} | {found['floor']:.3g} | {found['floor'] / found['seconds']:.0%} |"
    )


def main(words: Sequence[str]) -> None:
    """Prints a row for each method and size.

    Args:
        words: Keys of SIZES, then names of methods; without the latter all of configs/method.

    Raises:
        SystemExit: A word is neither, a size needs a GPU and there is none, or a method failed.
    """
    known = sorted(path.stem for path in (CONFIGS / "method").glob("*.yaml"))
    names = [word for word in words if word in SIZES] or ["sd15", "sdxl"]
    if strangers := [word for word in words if word not in {*SIZES, *known}]:
        raise SystemExit(f"bench_methods: {strangers[0]}: expected of {', '.join([*SIZES, *known])}")
    if not torch.cuda.is_available() and (large := [name for name in names if not name.startswith("tiny")]):
        raise SystemExit(f"bench_methods: no GPU here; at the size of {large[0]} a processor is no use")
    print(machine())
    print("| base | method | trained | s an update | GiB | TFLOP | floor, s | floor / time |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    failed = []
    for name in names:
        for method in [word for word in words if word in known] or known:
            if SIZES[name].family in NETWORKS and method == "custom_diffusion":
                continue  # an attention of joint streams has no keys and values of its own for the text
            command = [sys.executable, "-m", "benchmarks.bench_methods", "--one", name, method]
            ended = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
            if ended.returncode:
                failed.append(f"{method} on {name}")
                continue
            print(line(name, method, json.loads(ended.stdout.splitlines()[-1])), flush=True)
    if failed:
        raise SystemExit(f"bench_methods: could not be measured, the reason is above: {', '.join(failed)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(*sys.argv[2:4])))
    else:
        main(sys.argv[1:])
