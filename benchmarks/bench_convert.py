"""Compares the convert stage on all cores with a plain one-thread Pillow loop, on twelve 12-megapixel HEIC photos.

`python -m benchmarks.bench_convert` prints the ratio, not a promise: both sides run in turns on the same machine and
write the same PNG settings. The stage does more per photo: damage checks, hashes, near-duplicate groups.
"""

import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image, ImageOps

from src.stages.convert import PNG_LEVEL, convert_photos

PHOTOS, DISTINCT, TURNS = 12, 3, 2
WIDTH, HEIGHT = 4032, 3024


def make_photo(seed: int) -> bytes:
    """Makes one HEIC like a phone's: 512-pixel tiles, about 3 MB, turned by irot."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), dtype=np.float32)
    grain = rng.normal(0, 3, (HEIGHT, WIDTH, 1)).astype(np.float32)
    picture = Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    with tempfile.SpooledTemporaryFile(1 << 26) as stream:
        picture.save(stream, "HEIF", quality=60, tile_size=512, exif=exif.tobytes(), enc_params={"preset": "ultrafast"})
        stream.seek(0)
        return stream.read()


def plain_loop(raw: Path, out: Path) -> None:
    """Opens, turns and saves photo by photo, as a script would."""
    out.mkdir()
    for path in sorted(raw.iterdir()):
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
            upright.save(out / f"{path.stem}.png", compress_level=PNG_LEVEL)


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Returns how long a call takes: by the clock, and in processor time of all threads."""
    start, start_cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - start_cpu


def main() -> None:
    """Prints seconds, ratio and machine."""
    pillow_heif.register_heif_opener()
    pillow_heif.options.DECODE_THREADS = 1
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raw = folder / "raw"
        raw.mkdir()
        files = [make_photo(seed) for seed in range(DISTINCT)]
        for index in range(PHOTOS):
            (raw / f"IMG_{index:04d}.HEIC").write_bytes(files[index % DISTINCT])
        plain, stage, single = [], [], []
        for turn in range(TURNS):
            plain.append(seconds(lambda turn=turn: plain_loop(raw, folder / f"plain{turn}")))
            stage.append(seconds(lambda: convert_photos(raw, folder / "images", "fail", 256, 10, cores)))
            single.append(seconds(lambda: convert_photos(raw, folder / "one", "fail", 256, 10, 1)))
    print(f"{PHOTOS} HEIC photos of {WIDTH} x {HEIGHT}, {len(files[0]) / 1e6:.1f} MB each; PNG level {PNG_LEVEL}")
    for name, turns in (
        ("plain Pillow loop", plain),
        ("convert, 1 worker", single),
        (f"convert, {cores} workers", stage),
    ):
        wall, cpu = min(turns)
        print(
            f"{name:20} {wall:6.2f} s, {cpu:6.2f} s of processor time, {min(plain)[0] / wall:.2f} times the plain speed"
        )
    print(f"best of {TURNS} turns; {platform.machine()}, {cores} cores, load {os.getloadavg()[0]:.1f}, ", end="")
    print(f"Python {platform.python_version()}, ", end="")
    print(f"peak memory of all {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
