"""Prints the table of damage kinds: refused of n, of those at which the decoder itself warns, and of whole files.

`python -m benchmarks.bench_damage` makes whole photos of several kinds, damages each in several ways, and lets the
readers of convert check them. The word of the decoder itself is that of libjpeg (strict), libde265 or libpng; photos of
folders that are named are taken for whole, and are damaged, too.
"""

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pillow_heif
import simplejpeg
from PIL import Image

from src.core.errors import BadPhotoError
from src.data.photos.conversion import inspect_photo
from src.data.photos.damage import check_coded_data
from src.data.photos.decode import decode_photo
from src.data.photos.heif_boxes import read_layout

SIDE = 384
Damage = Callable[[bytes, range, np.random.Generator, bytes], bytes]
PHONE = {"x265:wpp": "0", "x265:ctu": "32"}
FORMATS: dict[str, tuple[str, dict[str, object]]] = {
    "JPEG": ("JPEG", {"quality": 90}),
    "JPEG progressive": ("JPEG", {"quality": 85, "progressive": True}),
    "JPEG restarts": ("JPEG", {"quality": 85, "restart_marker_rows": 1}),
    "HEIC": ("HEIF", {"quality": 70}),
    "HEIC tiles": ("HEIF", {"quality": 70, "tile_size": 128, "enc_params": PHONE}),
    "PNG": ("PNG", {}),
    "AVIF": ("AVIF", {"quality": 70}),
    "WebP": ("WEBP", {"quality": 80}),
    "TIFF deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
}


def picture(seed: int) -> Image.Image:
    """Makes a picture with shapes and grain."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.float32)
    return Image.fromarray((smooth + rng.normal(0, 4, smooth.shape)).clip(0, 255).astype(np.uint8))


def coded(data: bytes, path: Path) -> range:
    """Returns where the coded pixels lie, roughly: the scan, the extents, or all behind the first 400 bytes."""
    if data.startswith(b"\xff\xd8"):
        at = data.index(b"\xff\xda") + 2
        return range(at + int.from_bytes(data[at : at + 2], "big"), len(data) - 2)
    path.write_bytes(data)
    layout = read_layout(path) if data[4:8] == b"ftyp" else None
    if layout is None:
        return range(min(400, len(data) // 4), len(data) - 20)
    extents = [extent for item in layout.coded_items() for extent in item.extents]
    return range(min(at for at, _ in extents) + 100, max(at + length for at, length in extents))


def flip(count: int) -> Damage:
    """Flips bits of the coded data."""

    def run(data: bytes, where: range, rng: np.random.Generator, _: bytes) -> bytes:
        changed = bytearray(data)
        for at in rng.integers(where.start, where.stop, count):
            changed[at] ^= 1 << int(rng.integers(8))
        return bytes(changed)

    return run


def _middle(where: range, rng: np.random.Generator) -> int:
    return int(where.start + len(where) * rng.uniform(0.2, 0.8))


def zero(data: bytes, where: range, rng: np.random.Generator, _: bytes) -> bytes:
    """Zeroes a block of 512 bytes, as a bad sector does."""
    at = _middle(where, rng)
    return data[:at] + bytes(512) + data[at + 512 :]


def cut(data: bytes, where: range, rng: np.random.Generator, _: bytes) -> bytes:
    """Leaves out the rest."""
    return data[: _middle(where, rng)]


def cut_and_end(data: bytes, where: range, rng: np.random.Generator, _: bytes) -> bytes:
    """Leaves out the rest of the coded data, not what ends the file."""
    return data[: _middle(where, rng)] + data[where.stop :]


def splice(data: bytes, where: range, rng: np.random.Generator, other: bytes) -> bytes:
    """Goes on with another photo's bytes."""
    at = _middle(where, rng)
    return data[:at] + other[at:]


DAMAGES: dict[str, Damage] = {
    "1 bit": flip(1),
    "10 bits": flip(10),
    "50 bits": flip(50),
    "512 zeros": zero,
    "cut": cut,
    "cut, then the end": cut_and_end,
    "half of another": splice,
}


def is_refused(data: bytes, path: Path) -> bool:
    """Says whether convert refuses a file."""
    path.write_bytes(data)
    try:
        decode_photo(path, inspect_photo(path).header, 256)
    except BadPhotoError:
        return True
    return False


def decoder_warns(data: bytes, path: Path) -> bool:
    """Says whether the decoder itself is in doubt, without what convert adds to its word."""
    path.write_bytes(data)
    try:
        if data.startswith(b"\xff\xd8"):
            simplejpeg.decode_jpeg(data, strict=True)
        elif data[4:8] == b"ftyp":
            pillow_heif.open_heif(data)[0].load() if data[8:12] != b"avif" else Image.open(path).load()
            layout = read_layout(path)
            if layout is not None:
                check_coded_data(path, layout)
        else:
            with Image.open(path) as image:
                image.load()
    except (BadPhotoError, OSError, ValueError, EOFError, RuntimeError, SyntaxError):
        return True
    return False


def whole_files(folders: list[Path], count: int) -> Iterator[tuple[str, bytes]]:
    """Yields made photos, and those of folders."""
    for name, (kind, options) in FORMATS.items():
        for seed in range(count):
            stream = io.BytesIO()
            picture(seed).save(stream, kind, **options)
            yield name, stream.getvalue()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in (".heic", ".jpg", ".jpeg", ".png", ".avif", ".webp"):
                yield folder.name, path.read_bytes()


def main() -> None:
    """Prints a row for each format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=4, help="made photos of each format")
    parser.add_argument("--seeds", type=int, default=3, help="of each damage")
    parser.add_argument("folders", nargs="*", type=Path)
    args = parser.parse_args()
    pillow_heif.register_heif_opener()
    files: dict[str, list[bytes]] = {}
    for name, data in whole_files(args.folders, args.photos):
        files.setdefault(name, []).append(data)
    print("refused of n; in brackets: of those at which the decoder itself warns\n")
    print("| format | whole | " + " | ".join(DAMAGES) + " |\n|" + "---|" * (len(DAMAGES) + 2))
    warned = caught = 0
    with TemporaryDirectory() as folder:
        path = Path(folder) / "photo"
        for name, photos in files.items():
            cells = [f"{sum(is_refused(data, path) for data in photos)} of {len(photos)}"]
            for damage in DAMAGES.values():
                broken = list(damaged(photos, damage, args.seeds, path))
                refused = [is_refused(data, path) for data in broken]
                told = [is_no for data, is_no in zip(broken, refused, strict=True) if decoder_warns(data, path)]
                warned, caught = warned + len(told), caught + sum(told)
                cells.append(f"{sum(refused)} of {len(refused)} ({sum(told)} of {len(told)})")
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    print(f"\nwhere the decoder warns: {caught} of {warned} refused ({100 * caught / max(warned, 1):.1f} %)")


def damaged(photos: list[bytes], damage: Damage, seeds: int, path: Path) -> Iterator[bytes]:
    """Yields each photo with one kind of damage, once for each seed."""
    for index, data in enumerate(photos):
        for seed in range(seeds):
            rng = np.random.default_rng((index, seed))
            yield damage(data, coded(data, path), rng, photos[(index + 1) % len(photos)])


if __name__ == "__main__":
    main()
