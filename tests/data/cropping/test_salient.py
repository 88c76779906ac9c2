"""The default cropper: the whole subject, or the largest square and a warning."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from src.core.config import compose
from src.core.errors import ConfigError, ModelMismatchError
from src.data.cropping.salient import SIDE, SalientCropper
from src.tabletop.render import cover, render
from src.tabletop.world import plan_world

WEIGHTS = Path(__file__).resolve().parents[3] / "models/u2netp/u2netp.onnx"


class Network:
    """Answers with a map of probabilities."""

    def __init__(self, *parts):
        """Parts: (left, top, right, bottom) in cells of the map."""
        self.map = np.full((SIDE, SIDE), 0.1, dtype=np.float32)
        for left, top, right, bottom in parts:
            self.map[top:bottom, left:right] = 0.9

    def getUnconnectedOutLayersNames(self):
        return ["fused", "side"]

    def setInput(self, values):
        assert values.shape == (1, 3, SIDE, SIDE)

    def forward(self, name):
        assert name == "fused"
        return self.map[None, None]


@pytest.fixture
def find(tmp_path, monkeypatch):
    (tmp_path / "u2netp.onnx").write_bytes(b"weights")

    def found(size, *parts, pad=False, margin=1.5):
        monkeypatch.setattr(cv2.dnn, "readNetFromONNX", lambda _: Network(*parts))
        return SalientCropper(str(tmp_path), None, "u2netp.onnx", None, None, margin, pad).find(Image.new("RGB", size))

    return found


def edges(box):
    return box.left, box.top, box.right, box.bottom


def test_a_square_of_the_margin_around_the_object_without_specks(find):
    box = find((640, 320), (100, 100, 140, 180), (300, 5, 305, 10))
    # 40 cells of 2 pixels wide, 80 of 1 pixel high: the middle at (240, 140), a side of 1.5 x 80
    assert edges(box) == (180, 80, 300, 200)
    assert (box.warning, box.mask.sum()) == ("", 40 * 80)


@pytest.mark.parametrize(
    ("parts", "warning", "centre"),
    [
        ([], "nothing stands out", 320),
        ([(40, 40, 44, 48)], "what stands out is tiny", 160),
        (
            [(20, 20, 80, 80), (200, 200, 250, 250)],
            "several things stand out",
            180,
        ),  # the larger one is whole, the other outside
        ([(0, 100, 60, 320)], "what stands out reaches the photo's edge", 160),
    ],
)
def test_what_is_doubtful_gets_the_largest_square_and_a_warning(find, parts, warning, centre):
    box = find((640, 320), *parts)
    assert (box.top, box.bottom) == (0, 320)
    assert abs((box.left + box.right) / 2 - centre) <= 2
    assert box.warning == f"{warning}: kept the largest square"


def test_an_object_longer_than_the_largest_square_loses_least_and_says_how_much(find):
    # 280 cells of 2 pixels: 560 pixels in a square of 320; the right part is the thicker one
    box = find((640, 320), (20, 100, 180, 140), (180, 60, 300, 220))
    assert edges(box) == (280, 0, 600, 320)
    assert box.warning == "19% of the subject is outside of the largest square (crop.pad=true keeps all of it)"


def test_a_photo_a_thousand_times_as_long_as_wide_has_a_square(find):
    box = find((4000, 4), (20, 100, 300, 140))
    assert box.side == 4
    assert "outside of the largest square" in box.warning


def test_padding_keeps_all_of_it(find):
    box = find((640, 320), (20, 100, 180, 140), (180, 60, 300, 220), pad=True)
    assert box.warning == ""
    # without half a percent of its pixels at either end
    assert 1.45 * 560 < box.side <= 1.5 * 560
    assert box.left < 40
    assert box.right > 600
    assert box.top < 0


def test_without_the_weights_the_largest_square_is_kept_and_the_remedy_named(tmp_path):
    box = SalientCropper(str(tmp_path), None, "u2netp.onnx", None, None, 1.35, False).find(Image.new("RGB", (90, 60)))
    assert edges(box) == (15, 0, 75, 60)
    assert box.mask is None
    assert "u2netp.onnx is not here: kept the largest square (`make env` brings it" in box.warning


def test_other_weights_and_a_margin_below_one_are_refused(tmp_path):
    (tmp_path / "u2netp.onnx").write_bytes(b"others")
    with pytest.raises(ModelMismatchError, match="sha256"):
        SalientCropper(str(tmp_path), None, "u2netp.onnx", "0" * 64, None, 1.35, False)
    with pytest.raises(ConfigError, match=r"margin=0\.9"):
        SalientCropper(str(tmp_path), None, "u2netp.onnx", None, None, 0.9, False)


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="`make env` brings the weights")
def test_renders_of_toys_that_the_network_never_saw_are_whole():
    spec = compose([]).cropper
    cropper = SalientCropper(str(WEIGHTS.parent), None, spec.file, spec.sha256, None, spec.margin, False)
    scenes = plan_world("cropping", 12, 7)
    pictures, masks = render(scenes, 240, 240, 1), cover(scenes, 240)
    whole = 0
    for picture, mask in zip(pictures.numpy(), masks.numpy(), strict=True):
        box = cropper.find(Image.fromarray(picture))
        whole += mask[box.top : box.bottom, box.left : box.right].sum() >= 0.95 * mask.sum()
    assert whole == 12
