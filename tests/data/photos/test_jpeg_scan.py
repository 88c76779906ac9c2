"""JPEG scans: zeroed parts are found, and no intact picture is refused."""

import numpy as np
import pytest
from PIL import Image

from src.core.errors import BadPhotoError
from src.data.photos.jpeg_scan import check_jpeg
from tests.data.photos.samples import encode, noise, scene

VARIANTS = ({"quality": 85}, {"quality": 95, "subsampling": 0}, {"progressive": True}, {"restart_marker_rows": 1})


def zeroed(data, size=4096):
    middle = len(data) // 2
    return data[:middle] + bytes(size) + data[middle + size :]


@pytest.mark.parametrize("options", VARIANTS)
def test_check_jpeg_refuses_a_zeroed_middle(options):
    data = encode(noise(), "JPEG", **options)
    check_jpeg(data)
    with pytest.raises(BadPhotoError, match="damaged"):
        check_jpeg(zeroed(data))


@pytest.mark.parametrize("options", [*VARIANTS, {"optimize": True}])
def test_check_jpeg_passes_flat_areas(options):
    sky = np.asarray(noise(1024, 1024)).copy()
    sky[:900] = (250, 252, 255)
    for picture in (Image.fromarray(sky), Image.new("RGB", (2000, 1500), "white"), scene(), scene().convert("L")):
        check_jpeg(encode(picture, "JPEG", **options))


def test_check_jpeg_finds_missing_restart_intervals():
    data = encode(noise(), "JPEG", restart_marker_rows=1)
    first, second = data.index(b"\xff\xd2"), data.index(b"\xff\xd4")
    with pytest.raises(BadPhotoError, match="restart"):
        check_jpeg(data[:first] + data[second:])


def test_check_jpeg_looks_at_the_first_picture_only():
    check_jpeg(encode(noise(), "JPEG") + bytes(5000))
