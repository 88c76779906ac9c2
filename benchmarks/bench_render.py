"""Generating the embedded world in two processes of one thread each, against one process with torch's own threads.

`python -m benchmarks.bench_render` generates antialiased pictures of 128 px as the stage does, and prints pictures per
second, with what the antialiasing costs.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import torch

from benchmarks.common import compare, machine, seconds
from src.tabletop.render import render
from src.tabletop.scene import Scene
from src.tabletop.world import plan_world

PROCESSES, PICTURES, SIDE, OVERSAMPLING, TURNS = 2, 80, 128, 2, 5
PARTS = PROCESSES * 4


def sample(scenes: Sequence[Scene], oversampling: int) -> None:
    """Generates pictures on one thread.

    Args:
        scenes: What to generate.
        oversampling: Rays per pixel side.
    """
    torch.set_num_threads(1)
    render(scenes, SIDE, SIDE, oversampling)


def main() -> None:
    """Prints the ratio, and pictures per second with and without antialiasing."""
    print(machine())
    scenes = plan_world("train", PICTURES, 0)
    parts = [scenes[first::PARTS] for first in range(PARTS)]
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:

        def in_processes(oversampling: int) -> Callable[[], object]:
            return lambda: list(pool.map(partial(sample, oversampling=oversampling), parts))

        compare(
            f"{PICTURES} pictures of {SIDE} px, {OVERSAMPLING} x {OVERSAMPLING} rays a pixel, {PROCESSES} processes",
            in_processes(OVERSAMPLING),
            lambda: render(scenes, SIDE, SIDE, OVERSAMPLING),
            "one process",
            TURNS,
        )
        for rays in (OVERSAMPLING, 1):
            rates = sorted(PICTURES / seconds(in_processes(rays)) for _ in range(TURNS))
            print(
                f"{rays} x {rays} rays a pixel: {rates[TURNS // 2]:.0f} pictures per second "
                f"(median of {TURNS}, {rates[0]:.0f} to {rates[-1]:.0f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
