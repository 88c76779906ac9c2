"""Damaged and hostile files: each is refused by its name in a moment, and the photos beside it are converted."""

import io
import re
import resource
import runpy
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.core.errors import BadPhotoError
from src.data.photos.conversion import inspect_photo, limits_of, write_photo
from src.data.photos.decode import decode_photo
from src.data.photos.header import read_header
from src.data.photos.listing import Photo
from tests.data.photos.samples import encode, scene

SECONDS = 2.0


def jpeg(seed=0, **options):
    small = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    stream = io.BytesIO()
    image = Image.fromarray(small).resize((384, 384), Image.Resampling.BICUBIC)
    image.save(stream, "JPEG", **{"quality": 90, **options})
    return stream.getvalue()


def scan_start(data):
    at = data.index(b"\xff\xda") + 2
    return at + int.from_bytes(data[at : at + 2], "big")


def half(data):
    start = scan_start(data)
    return data[: start + (len(data) - start) // 2]


def flipped(data, count, seed):
    rng, changed = np.random.default_rng(seed), bytearray(data)
    for at in rng.integers(scan_start(data), len(data) - 2, count):
        changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def box(kind, body):
    return struct.pack(">I4s", 8 + len(body), kind) + body


def heic(iloc):
    infe = box(b"infe", b"\2\0\0\0" + struct.pack(">HH4s", 1, 0, b"hvc1") + b"\0")
    body = box(b"hdlr", b"\0" * 8 + b"pict" + b"\0" * 13) + box(b"pitm", b"\0" * 4 + b"\0\1")
    body += box(b"iinf", b"\0" * 4 + b"\0\1" + infe) + box(b"iloc", iloc)
    return box(b"ftyp", b"heic\0\0\0\0mif1heic") + box(b"meta", b"\0" * 4 + body)


def zero_width(items):
    return b"\0" * 6 + struct.pack(">H", items) + b"".join(struct.pack(">HHH", i + 1, 0, 65535) for i in range(items))


def many_extents(count):
    return b"\0\0\0\0\x44\0" + struct.pack(">HHHH", 1, 1, 0, count) + struct.pack(">II", 0, 1) * 8


def decode(tmp_path, data):
    path = tmp_path / "photo"
    path.write_bytes(data)
    return decode_photo(path, read_header(path), 256)


GOOD = jpeg()
HALVES = half(jpeg(1)) + jpeg(2)[len(half(jpeg(2))) :]
DAMAGED = {
    "half, then the end": (half(GOOD) + b"\xff\xd9", "premature end"),
    "half, then nothing": (half(GOOD), "."),
    "half of another": (HALVES, "damaged"),
    "progressive, half": (half(jpeg(progressive=True)) + b"\xff\xd9", "damaged"),
    **{f"fifty bits, {seed}": (flipped(GOOD, 50, seed), "damaged|cannot be decoded") for seed in range(10)},
    "grey, half": (half(encode(scene().convert("L"), "JPEG")) + b"\xff\xd9", "premature end"),
    "iloc of width zero": (heic(zero_width(1000)), "more parts than it has room for"),
    "iloc beyond its box": (heic(many_extents(65535)), "more parts than it has room for"),
    "offset beyond all files": (b"II+\0" + struct.pack("<HHQ", 8, 0, 2**63 - 1), "cannot be decoded"),
    "boxes without end": (box(b"ftyp", b"heic\0\0\0\0mif1heic") + box(b"free", b"") * 300_000, "."),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_refused_in_a_moment(name, tmp_path):
    data, message = DAMAGED[name]
    started = time.process_time()
    with pytest.raises(BadPhotoError, match=message):
        decode(tmp_path, data)
    assert time.process_time() - started < SECONDS


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        jpeg(progressive=True),
        jpeg(subsampling=2, optimize=True, restart_marker_blocks=8),
        encode(scene().convert("L"), "JPEG"),
        encode(scene().convert("CMYK"), "JPEG"),
        GOOD[: GOOD.index(b"\xff\xdb")] + b"\0\0" + GOOD[GOOD.index(b"\xff\xdb") :],
        GOOD[:2] + b"\xff\xff" + GOOD[2:],
        GOOD[:-2] + b"\0\0\0" + GOOD[-2:],
        GOOD + b"trailing bytes of a motion photo",
    ],
)
def test_what_every_viewer_shows_passes(data, tmp_path):
    assert decode(tmp_path, data).image.size in ((384, 384), (192, 128))


def test_a_harmless_warning_does_not_hide_damage(tmp_path):
    stray = GOOD[: GOOD.index(b"\xff\xdb")] + b"\0\0" + GOOD[GOOD.index(b"\xff\xdb") :]
    with pytest.raises(BadPhotoError, match="premature end"):
        decode(tmp_path, half(stray) + b"\xff\xd9")


def test_a_run_of_fill_bytes_takes_linear_time(tmp_path):
    start = scan_start(GOOD)
    started = time.process_time()
    with pytest.raises(BadPhotoError):
        decode(tmp_path, GOOD[:start] + b"\xff" * 2_000_000 + b"\0" + GOOD[start:])
    assert time.process_time() - started < SECONDS


@pytest.mark.parametrize(
    "error", [MemoryError(), RecursionError("deep"), OSError(22, "Invalid argument"), ZeroDivisionError("0")]
)
def test_an_error_of_any_sort_is_the_photos_own(error, tmp_path, monkeypatch):
    def fail(_path):
        raise error

    (tmp_path / "a.jpg").write_bytes(GOOD)
    monkeypatch.setattr("src.data.photos.conversion.read_header", fail)
    with pytest.raises(BadPhotoError, match=r"memory|decoded"):
        inspect_photo(tmp_path / "a.jpg")


CASES = Path(__file__).parents[4] / "shared/cases/make_cases.py"


@pytest.mark.skipif(not CASES.is_file(), reason="the collected cases are not beside the project")
def test_collected_cases_come_out_as_they_should(tmp_path):
    (tmp_path / "cases").mkdir()
    runpy.run_path(str(CASES))["main"](tmp_path / "cases")
    right = dict(re.findall(r"- `(.+?)`: (.+)", (tmp_path / "cases/README.md").read_text()))
    photos = {name: text for name, text in right.items() if not name.endswith(".yaml")}
    assert len(photos) >= 9
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, text in photos.items():
        started = time.process_time()
        path = tmp_path / "cases" / name
        assert limits_of(path.stat().st_size, 0).seconds < 10
        try:
            found = inspect_photo(path)
            write_photo(Photo(path, name, "id", ""), found, tmp_path, 256)
            outcome = "accepted"
        except BadPhotoError:
            outcome = "refused by name"
        assert text.startswith((outcome, "any verdict")), name
        assert time.process_time() - started < SECONDS, name
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB
