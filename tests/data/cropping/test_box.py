"""Squares inside photos."""

import pytest
from PIL import Image

from src.data.cropping.box import CentreCropper, square_box


@pytest.mark.parametrize("size", [(64, 64), (31, 80), (1, 9)])
@pytest.mark.parametrize("centre", [(0, 0), (15, 40), (1000, -3)])
@pytest.mark.parametrize("side", [0, 0.4, 7, 1000])
def test_square_box_is_a_square_inside_the_photo(size, centre, side):
    box = square_box(centre, side, size, "", None)
    assert box.right - box.left == box.bottom - box.top == box.side >= 1
    assert 0 <= box.left < box.right <= size[0]
    assert 0 <= box.top < box.bottom <= size[1]


def test_square_box_keeps_the_centre_where_it_fits():
    box = square_box((30, 50), 20, (100, 100), "why", None)
    assert (box.left, box.top, box.right, box.bottom, box.warning) == (20, 40, 40, 60, "why")


def test_centre_cropper_keeps_the_largest_middle_square():
    box = CentreCropper().find(Image.new("RGB", (100, 60)))
    assert (box.left, box.top, box.right, box.bottom) == (20, 0, 80, 60)
