"""A set of pictures of the world on disk: what every embedded model learns from, and nothing else."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from io import BytesIO
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import TypeVar

import numpy as np
import pandas as pd
import torch

from src.core.files import sha256_bytes, write_bytes, write_csv
from src.core.provenance import code_digest
from src.core.sealed import read_sealed, write_sealed
from src.core.seeding import derive_seed
from src.core.workers import usable_cores
from src.tabletop.render import cover, render
from src.tabletop.scene import Scene, sample_scene, sample_toy, triples
from src.tabletop.toys import CLASSES, COLOURS

# pictures of one toy, from different sides and on different backgrounds
VIEWS = 2
# pictures that are rendered before they are put away, by kind of device; and how many of them together
SHARD, AT_ONCE = {"cpu": 100, "cuda": 4000}, {"cpu": 1, "cuda": 16}
IMAGES, MASKS, SCENES = "images.npy", "masks.npy", "scenes.csv"
Shard = TypeVar("Shard")


def plan_world(purpose: str, count: int, seed: int) -> list[Scene]:
    """Plans pictures: VIEWS in a row show one toy; held-out combinations do not occur.

    Args:
        purpose: ``train`` or ``val``; other toys for each.
        count: How many; a multiple of VIEWS.
        seed: Of the world.

    Returns:
        The scenes.
    """
    allowed: dict[tuple[str, str], list[str]] = {}
    for name, colour, background in triples(seed)[0]:
        allowed.setdefault((name, colour), []).append(background)
    scenes = []
    for index in range(count):
        number = index // VIEWS
        random = np.random.default_rng(derive_seed(seed, purpose, number))
        name, colour = sorted(CLASSES)[random.integers(len(CLASSES))], sorted(COLOURS)[random.integers(len(COLOURS))]
        backgrounds = allowed[name, colour]
        toy = sample_toy(name, colour, derive_seed(seed, purpose, "toy", number))
        first = int(random.integers(len(backgrounds)))
        background = backgrounds[(first + index % VIEWS) % len(backgrounds)]
        scenes.append(sample_scene(toy, background, derive_seed(seed, purpose, "scene", index)))
    return scenes


def render_world(
    folder: Path, cache: Path, scenes: Sequence[Scene], resolution: int, oversampling: int, device: torch.device
) -> None:
    """Renders pictures with all processors or a GPU; shards that an interrupted run rendered are kept.

    Args:
        folder: Gets IMAGES (N, resolution, resolution, 3), MASKS (N, resolution, resolution), 1 on the toy, both
            uint8, and SCENES.
        cache: Where finished shards stay, each under a name made from everything that decides it; may be shared by
            any number of worlds, and deleted.
        scenes: What to render.
        resolution: Side, pixels.
        oversampling: Rays per pixel side.
        device: What renders; another one rounds a few pixels otherwise.
    """
    size = SHARD[device.type]
    shards = [scenes[start : start + size] for start in range(0, len(scenes), size)]
    how = f"{code_digest('src.tabletop.render')} {resolution} {oversampling} {device.type}"
    files = [cache / f"{_shard_digest(shard, how)}.npy" for shard in shards]
    missing = [(file, shard) for file, shard in zip(files, shards, strict=True) if not _is_whole(file)]
    write = partial(_render_shard, resolution=resolution, oversampling=oversampling, device=device)
    if device.type == "cuda":
        for task in missing:
            write(task)
    else:
        render_in_shards(missing, write)
    write_array(folder / IMAGES, np.concatenate([read_shard(file) for file in files]))
    write_array(folder / MASKS, np.concatenate([read_shard(_mask_of(file)) for file in files]))
    write_csv(folder / SCENES, scene_table(scenes))


def render_in_shards(missing: Sequence[Shard], write: Callable[[Shard], None]) -> None:
    """Renders shards with all processors that this process may use.

    Args:
        missing: What to render.
        write: Renders and writes one; can be pickled.
    """
    if len(missing) < 2:
        for task in missing:
            write(task)
        return
    # spawned, not forked: threads of torch do not survive a fork
    context = get_context("spawn")
    with ProcessPoolExecutor(usable_cores(), mp_context=context, initializer=_start_worker) as pool:
        list(pool.map(write, missing))


def _start_worker() -> None:
    torch.set_num_threads(1)
    _end_with_parent()


def _end_with_parent() -> None:
    """Ends this worker when its parent is killed; the pool alone would leave it waiting for ever."""
    parent = parent_process()
    assert parent is not None, "runs in a worker"

    def follow() -> None:
        parent.join()
        os._exit(1)

    Thread(target=follow, daemon=True).start()


def _shard_digest(scenes: Sequence[Scene], how: str) -> str:
    return sha256_bytes("\0".join([how, *map(repr, scenes)]).encode())


def _render_shard(task: tuple[Path, Sequence[Scene]], resolution: int, oversampling: int, device: torch.device) -> None:
    file, scenes = task
    at_once = AT_ONCE[device.type]
    with device:
        pictures = render(scenes, resolution, resolution, oversampling, at_once=at_once)
        masks = cover(scenes, resolution, at_once=at_once)
    write_shard(file, pictures.cpu().numpy())
    write_shard(_mask_of(file), masks.cpu().numpy())


def _is_whole(shard: Path) -> bool:
    return all(read_sealed(file) is not None for file in (shard, _mask_of(shard)))


def write_shard(file: Path, array: np.ndarray) -> None:
    """Writes an array of a cache, with its digest."""
    write_sealed(file, _array_bytes(array))


def read_shard(file: Path) -> np.ndarray:
    """Reads an array of a cache that is known to be whole."""
    data = read_sealed(file)
    assert data is not None, "rendered above"
    return np.load(BytesIO(data), allow_pickle=False)


def _mask_of(shard: Path) -> Path:
    return shard.with_suffix(".mask.npy")


def write_array(path: Path, array: np.ndarray) -> None:
    """Writes a .npy file atomically."""
    write_bytes(path, _array_bytes(array))


def _array_bytes(array: np.ndarray) -> bytes:
    stream = BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def scene_table(scenes: Sequence[Scene]) -> pd.DataFrame:
    """Returns what a caption may say about each scene, a row each."""
    return pd.DataFrame(
        {
            "toy": [index // VIEWS for index in range(len(scenes))],
            "name": [scene.toy.name for scene in scenes],
            "colour": [scene.toy.colour for scene in scenes],
            "background": [scene.background for scene in scenes],
            "azimuth": [round(scene.azimuth, 2) for scene in scenes],
            "elevation": [round(scene.elevation, 2) for scene in scenes],
            "distance": [round(scene.distance, 3) for scene in scenes],
            "warmth": [round(scene.warmth, 3) for scene in scenes],
            "exposure": [round(scene.exposure, 3) for scene in scenes],
        }
    )
