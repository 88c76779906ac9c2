"""The face crop: the largest face, in pixels of the whole photo; the network itself is OpenCV's."""

import cv2
import numpy as np
import pytest
from PIL import Image

from src.core.errors import BadPhotoError, MissingModelError, ModelMismatchError
from src.data.cropping.face import SEARCH_PX, FaceCropper


class FakeDetector:
    """Gives fixed faces, as columns x, y, width, height, landmarks and score."""

    def __init__(self, faces):
        self.faces = None if faces is None else np.array([[*face, *[0] * 10, 0.9] for face in faces], dtype=np.float32)

    def setInputSize(self, size):
        self.size = size

    def detect(self, image):
        assert image.shape == (self.size[1], self.size[0], 3)
        assert image[0, 0].tolist() == [30, 20, 10]  # blue first
        return 1, self.faces


@pytest.fixture
def cropper(tmp_path, monkeypatch):
    (tmp_path / "face.onnx").write_bytes(b"weights")

    def build(faces):
        monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *_: FakeDetector(faces))
        return FaceCropper(str(tmp_path), None, "face.onnx", None, margin=2.0, min_score=0.8)

    return build


def photo(width, height):
    return Image.new("RGB", (width, height), (10, 20, 30))


def test_face_crop_is_around_the_largest_face(cropper):
    box = cropper([(10, 10, 20, 30), (300, 200, 60, 80)]).find(photo(600, 500))
    assert (box.left, box.top, box.right, box.bottom) == (250, 160, 410, 320)


def test_face_crop_is_in_pixels_of_the_whole_photo(cropper):
    box = cropper([(300, 200, 60, 80)]).find(photo(4 * SEARCH_PX, 2 * SEARCH_PX))
    assert (box.left, box.top, box.side) == (4 * 250, 4 * 160, 4 * 160)


def test_face_crop_refuses_a_photo_without_a_face(cropper):
    with pytest.raises(BadPhotoError, match=r"no face with a confidence of 0\.8"):
        cropper(None).find(photo(100, 100))


def test_face_cropper_checks_its_weights_first(tmp_path):
    with pytest.raises(MissingModelError, match=r"face\.onnx"):
        FaceCropper(str(tmp_path), None, "face.onnx", None, margin=2.0, min_score=0.8)
    (tmp_path / "face.onnx").write_bytes(b"other")
    with pytest.raises(ModelMismatchError, match="sha256"):
        FaceCropper(str(tmp_path), None, "face.onnx", "0" * 64, margin=2.0, min_score=0.8)
