"""Readers under changed files, with a fixed budget: each ends in a picture or a refusal in plain words, in a moment.

The seeds are kept, so what is found once stays found; FUZZ=5000 in the environment tries more.
"""

import os
import time
import zlib
from collections import Counter

import numpy as np
import pytest

from src.core.errors import BadPhotoError
from src.data.photos.conversion import inspect_photo
from src.data.photos.decode import decode_photo
from tests.data.photos.samples import display_p3, encode, exif, scene

FILES = int(os.environ.get("FUZZ", "60"))
SECONDS = 2.0
HEADER = 900
# as counts, sizes and offsets: nothing, one, the largest of a kind, signed or not
NUMBERS = [
    (value % 256**size).to_bytes(size, order)
    for size in (2, 4, 8)
    for value in (0, 1, -1, 2 ** (8 * size - 1), 2 ** (8 * size - 1) - 1)
    for order in ("big", "little")
]
META = {"exif": exif(6).tobytes(), "icc_profile": display_p3()}
KINDS = {
    "HEIC": ("HEIF", META),
    "HEIC tiles": ("HEIF", {"tile_size": 64, **META}),
    "HEIC burst": ("HEIF", {"save_all": True, "append_images": [scene(128, 96, seed=2)], "thumbnails": [16]}),
    "AVIF": ("AVIF", META),
    "JPEG": ("JPEG", META),
    "JPEG progressive": ("JPEG", {"progressive": True, "restart_marker_rows": 1}),
    "MPO": ("MPO", {"save_all": True, "append_images": [scene(128, 96, seed=2)]}),
    "PNG": ("PNG", META),
    "TIFF": ("TIFF", META),
    "TIFF deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "TIFF jpeg": ("TIFF", {"compression": "jpeg"}),
    "WebP": ("WEBP", META),
    "WebP animated": ("WEBP", {"save_all": True, "append_images": [scene(128, 96, seed=2)]}),
}


def change(data, rng):
    """A byte, a number in the header, a part that is left out, doubled or moved, or an end that is cut."""
    at, kind = int(rng.integers(4, min(len(data), HEADER) + 4)), int(rng.integers(6))
    if rng.random() < 0.25:  # a TIFF's directory
        at = max(4, len(data) - at)
    if kind == 0:
        return data[:at] + bytes([int(rng.integers(256))]) + data[at + 1 :]
    if kind <= 2:
        number = NUMBERS[int(rng.integers(len(NUMBERS)))]
        return data[:at] + number + data[at + len(number) :]
    length = int(rng.integers(1, 64))
    if kind == 3:
        return data[:at] + data[at + length :]
    if kind == 4:
        return data[:at] + data[at : at + length] * int(rng.integers(2, 50)) + data[at:]
    return data[: int(rng.integers(16, len(data) + 16))]


def with_checksums(data):
    """Mends the checksums of a PNG's chunks, so that what is behind them is reached."""
    at, parts = 8, [data[:8]]
    while at + 12 <= len(data):
        size = min(int.from_bytes(data[at : at + 4], "big"), len(data) - at - 12)
        chunk = data[at + 4 : at + 8 + size]
        parts += [data[at : at + 4], chunk, zlib.crc32(chunk).to_bytes(4, "big")]
        at += 12 + size
    return b"".join((*parts, data[at:]))


@pytest.mark.parametrize("kind", KINDS)
def test_changed_files_end_in_a_picture_or_a_refusal(kind, tmp_path):
    name, options = KINDS[kind]
    whole, path = encode(scene(128, 96), name, **options), tmp_path / "photo"
    outcomes = Counter()
    for seed in range(FILES):
        rng, data = np.random.default_rng((seed, *kind.encode())), whole
        for _ in range(int(rng.integers(1, 4))):
            data = change(data, rng)
        path.write_bytes(with_checksums(data) if kind == "PNG" else data)
        started = time.process_time()
        try:
            found = inspect_photo(path)
            outcomes[decode_photo(path, found.header, 1).image.mode] += 1
        except BadPhotoError as refusal:
            outcomes["refused" if str(refusal).isprintable() else f"{refusal!r} of seed {seed}"] += 1
        assert time.process_time() - started < SECONDS, seed
    assert {"refused"} <= set(outcomes) <= {"RGB", "refused"}
