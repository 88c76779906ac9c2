"""EXIF: time and camera are read, nothing private is, and a malformed block is none."""

import pytest
from PIL import Image

from src.data.photos.capture import Capture, read_capture
from tests.data.photos.samples import SENTINEL


def block(taken="2024:05:01 10:00:02", fraction="", model="iPhone 13 Pro", serial="F1"):
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Apple", model
    inner = exif.get_ifd(0x8769)
    inner[0x9003], inner[0xA431] = taken, serial
    if fraction:
        inner[0x9291] = fraction
    return exif.tobytes()


def test_read_capture_gives_time_and_an_unreadable_camera():
    assert read_capture(block()).taken == "2024-05-01T10:00:02"
    assert read_capture(block(fraction="25")).taken == "2024-05-01T10:00:02.250"
    first, again, other = (read_capture(block(serial=serial)).camera for serial in ("F1", "F1", "F2"))
    assert first == again
    assert first != other
    assert len(first) == 8
    assert SENTINEL.decode() not in str(read_capture(block(model=SENTINEL.decode(), serial=SENTINEL.decode())))


@pytest.mark.parametrize(
    "exif", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", block(taken="0000:00:00 00:00:00")]
)
def test_read_capture_is_empty_where_the_file_does_not_say(exif):
    assert read_capture(exif) == Capture()
