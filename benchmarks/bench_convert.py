"""Compares the convert stage on all cores with a plain Pillow loop on as many, on 12-megapixel HEIC and JPEG photos.

`python -m benchmarks.bench_convert` prints the ratio, not a promise: both sides run in turns on the same machine. The
stage does more per photo: damage checks, hashes, near-duplicate groups; it saves time with faster filters of its PNGs.
"""

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image, ImageOps

from src.core.settings import ConvertSettings
from src.stages.convert import convert_photos

PNG_LEVEL, DISTINCT = 2, 3
WIDTH, HEIGHT = 4032, 3024


def make_photo(seed: int, kind: str) -> bytes:
    """Makes one photo like a phone's, 2 to 3 MB: HEIC in 512-pixel tiles, turned by irot, or JPEG."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), dtype=np.float32)
    grain = rng.normal(0, 3, (HEIGHT, WIDTH, 1)).astype(np.float32)
    picture = Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    if kind == "JPEG":
        picture.save(stream, "JPEG", quality=90, exif=exif.tobytes())
    else:
        picture.save(stream, "HEIF", quality=60, tile_size=512, exif=exif.tobytes(), enc_params={"preset": "ultrafast"})
    return stream.getvalue()


def plain(paths: tuple[Path, Path]) -> None:
    """Opens, turns and saves one photo, as a script would."""
    pillow_heif.register_heif_opener()
    pillow_heif.options.DECODE_THREADS = 1
    with Image.open(paths[0]) as image:
        ImageOps.exif_transpose(image).convert("RGB").save(paths[1], compress_level=PNG_LEVEL)


def plain_loop(raw: Path, out: Path, cores: int) -> None:
    """Does so on all cores, in processes."""
    out.mkdir(exist_ok=True)
    with ProcessPoolExecutor(cores) as pool:
        list(pool.map(plain, [(path, out / f"{path.stem}.png") for path in sorted(raw.iterdir())]))


def seconds(work: Callable[[], object]) -> float:
    """Returns how long a call takes by the clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(kind: str, photos: int, turns: int, cores: int) -> tuple[int, float, float]:
    """Returns the bytes of a photo, and the best seconds of the plain loop and of the stage, taken in turns."""
    pillow_heif.register_heif_opener()
    files = [make_photo(seed, kind) for seed in range(min(DISTINCT, photos))]
    simple, stage = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raw = folder / "raw"
        raw.mkdir()
        for index in range(photos):
            (raw / f"IMG_{index:04d}.{kind}").write_bytes(files[index % len(files)])
        for _ in range(turns):
            simple.append(seconds(lambda: plain_loop(raw, folder / "plain", cores)))
            with redirect_stdout(io.StringIO()):
                stage.append(
                    seconds(lambda: convert_photos(raw, folder / "images", ConvertSettings("fail", 256, 8), cores))
                )
    return len(files[0]), min(simple), min(stage)


def main() -> None:
    """Prints a row for each kind of photo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=12)
    parser.add_argument("--turns", type=int, default=2)
    args = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(f"{args.photos} photos of {WIDTH} x {HEIGHT}; {cores} cores, load {os.getloadavg()[0]:.1f}")
    print("\n| format | MB a photo | plain, s | convert, s | plain / convert |\n|---|---|---|---|---|")
    for kind in ("HEIF", "JPEG"):
        size, theirs, ours = compare(kind, args.photos, args.turns, cores)
        print(f"| {kind} | {size / 1e6:.1f} | {theirs:.2f} | {ours:.2f} | {theirs / ours:.2f} |")


if __name__ == "__main__":
    main()
