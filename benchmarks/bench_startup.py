"""What a stage costs before it does anything: a bare interpreter, the imports of each stage, and `--help`."""

import subprocess
import sys

from benchmarks.common import machine, seconds

STAGES = ("config", "convert", "crop", "caption", "split", "train", "choose", "generate", "evaluate", "report")
TURNS = 3


def main() -> None:
    """Prints the median start of each stage in seconds, and as a multiple of a bare interpreter's."""
    print(machine())
    timings = {"bare interpreter": _median("pass")}
    timings |= {f"import src.stages.{stage}": _median(f"import src.stages.{stage}") for stage in STAGES}
    libraries = "torch, diffusers, transformers, peft, accelerate"
    timings[f"import {libraries}"] = _median(f"import {libraries}")
    for name, value in timings.items():
        print(f"{name}: {value:.2f} s, {value / timings['bare interpreter']:.0f} times a bare interpreter")


def _median(code: str) -> float:
    command = [sys.executable, "-c", code]
    return sorted(seconds(lambda: subprocess.run(command, check=True)) for _ in range(TURNS))[TURNS // 2]


if __name__ == "__main__":
    main()
