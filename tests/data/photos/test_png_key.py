"""Transparent keys of PNGs of every depth, laid on white; a key is of the stored samples (PNG, 11.3.2.1)."""

import struct
import zlib

import numpy as np
import pytest

from src.data.photos.decode import decode_photo
from src.data.photos.header import read_header

GREY, RGB = 0, 2


def png(width, bits, colour, row, key):
    header = struct.pack(">IIBBBBB", width, 1, bits, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"tRNS", key), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b""))
    parts = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (png(8, 1, GREY, b"\xf0", struct.pack(">H", 0)), [255] * 8),
        (png(4, 2, GREY, b"\x1b", struct.pack(">H", 1)), [0, 255, 170, 255]),
        (png(2, 4, GREY, b"\x12", struct.pack(">H", 1)), [255, 34]),
        (png(2, 8, GREY, b"\x01\x02", struct.pack(">H", 1)), [255, 2]),
        (png(3, 16, GREY, struct.pack(">3H", 256, 257, 514), struct.pack(">H", 257)), [1, 255, 2]),
        (png(2, 8, RGB, b"\1\1\1\2\2\2", struct.pack(">3H", 1, 1, 1)), [255, 2]),
        (
            png(2, 16, RGB, struct.pack(">6H", 257, 257, 257, 257, 257, 258), struct.pack(">3H", 257, 257, 257)),
            [255, 1],
        ),
    ],
)
def test_the_key_is_transparent_and_its_neighbours_are_not(data, shown, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    pixels = np.asarray(decode_photo(path, read_header(path), 1).image)
    assert pixels[0, :, 0].tolist() == pixels[0, :, 2].tolist() == shown
