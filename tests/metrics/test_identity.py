"""Identity: what a missing face does to three numbers; OpenCV's networks are replaced by colours."""

import cv2
import numpy as np
import pytest
from PIL import Image

from src.core.errors import MetricError, MissingModelError, ModelMismatchError
from src.features.store import FeatureStore, image_file
from src.features.weights import WeightFile
from src.metrics.base import ALONE
from src.metrics.identity import FaceIdentity, FaceModel, OpenCvExtractor
from src.metrics.summary import mean_scores, score_table
from tests.metrics.synthetic import photos_of, sample

# two faces lie in every image that is not black: the left half, and a smaller one on the right
LARGE, SMALL = (0, 0, 8, 16), (10, 4, 4, 4)


class FakeDetector:
    def setInputSize(self, size):
        self.size = size

    def detect(self, pixels):
        assert pixels.shape == (self.size[1], self.size[0], 3)
        faces = [[*face, *[0] * 10, 0.9] for face in (SMALL, LARGE)]
        return 1, np.array(faces, dtype=np.float32) if pixels.any() else None


class FakeRecogniser:
    """Describes a face by the mean colour of its box."""

    def alignCrop(self, pixels, face):
        x, y, width, height = face[:4].astype(int)
        return pixels[y : y + height, x : x + width]

    def feature(self, crop):
        return crop.mean((0, 1), dtype=np.float32)[None]


class FaceFolder:
    def check(self):
        pass

    def load(self, device):  # noqa: ARG002
        return OpenCvExtractor(FakeDetector(), FakeRecogniser(), 16)


@pytest.fixture
def picture(tmp_path):
    def make(left, right=(0, 0, 255), height=16):
        image = Image.new("RGB", (16, height), tuple(left))
        image.paste(tuple(right), (8, 0, 16, height))
        path = tmp_path / f"{left}{right}.png"
        image.save(path)
        return image_file(path)

    return make


def by_metric(rows):
    return {metric: [row.value for row in rows if row.metric == metric] for metric in {row.metric for row in rows}}


METRIC = FaceIdentity("id_sim", FaceFolder(), ("test", "none"))
BLACK = (0, 0, 0)


def test_missing_faces_lower_what_they_should(picture, store):
    photos = photos_of((picture((255, 0, 0)), picture((153, 204, 0))), (picture((1, 1, 1)),))
    images = [picture((255, 0, 0)), picture((0, 255, 0)), picture(BLACK, BLACK)]
    found = by_metric(METRIC.score([sample(file, seed=i) for i, file in enumerate(images)], photos, store))
    assert found["face_rate"] == [1, 1, 0]
    assert found["id_sim_detected"] == [pytest.approx(0.8), pytest.approx(0.4), None]
    assert found["id_sim_all"] == pytest.approx([0.8, 0.4, 0])
    detected = [value for value in found["id_sim_detected"] if value is not None]
    assert np.mean(found["id_sim_all"]) == pytest.approx(np.mean(found["face_rate"]) * np.mean(detected))


def test_without_any_face_there_is_no_likeness_of_the_detected(picture, store):
    photos = photos_of((picture((255, 0, 0)),), ())
    faceless = [sample(picture(BLACK, BLACK, height=16 + seed), "base", seed=seed) for seed in (0, 1)]
    table = score_table(METRIC.score(faceless, photos, store))
    assert mean_scores(table, "base", "test") == {"face_rate": 0.0, "id_sim_all": 0.0}
    missing = table[table["metric"] == "id_sim_detected"]
    assert (len(missing), missing["value"].count()) == (2, 0)


def test_a_face_without_a_feature_is_an_error_that_names_it(picture, store):
    photos = photos_of((picture((255, 0, 0)),), ())
    with pytest.raises(MetricError, match=r"\(0, 0, 0\)\(0, 0, 255\)\.png: the feature's length is 0"):
        METRIC.score([sample(picture(BLACK))], photos, store)


def test_the_larger_of_two_faces_counts_in_any_order_of_images(picture):
    photos = photos_of((picture((255, 0, 0)),), ())
    red, green = picture((255, 0, 0), (0, 255, 0)), picture((0, 255, 0), (255, 0, 0), height=12)
    first, second = (FeatureStore(4, "cpu") for _ in range(2))  # a store would remember the faces
    forwards = by_metric(METRIC.score([sample(red), sample(green, seed=1)], photos, first))
    backwards = by_metric(METRIC.score([sample(green, seed=1), sample(red)], photos, second))
    assert forwards["id_sim_all"] == pytest.approx([1, 0])
    assert backwards["id_sim_all"] == pytest.approx([0, 1])


def test_a_held_out_photo_is_compared_with_the_others(picture, store):
    photos = photos_of((picture((255, 0, 0)), picture((0, 255, 0))), ())
    real = [sample(file, "real", "held_out", "none", i) for i, file in enumerate(photos.val)]
    assert by_metric(METRIC.score(real, photos, store))["id_sim_all"] == pytest.approx([0, 0])
    subject_only = METRIC.score(real[:1], photos_of(photos.val[:1], ()), store)
    assert {row.metric: row.reason for row in subject_only if row.value is None} == dict.fromkeys(
        ("id_sim_all", "id_sim_detected"), ALONE
    )
    twins = METRIC.score(real, photos_of(photos.val, groups=("a", "a")), store)
    assert {row.reason for row in twins if row.value is None} == {ALONE}


def test_a_held_out_photo_without_a_face_is_an_error_that_names_it(picture, store):
    faceless = picture(BLACK, BLACK)
    with pytest.raises(MetricError, match=r"no face is found in the held-out photos \(0, 0, 0\)\(0, 0, 0\)\.png"):
        METRIC.score([sample(faceless)], photos_of((faceless, picture((255, 0, 0))), ()), store)


def test_both_weight_files_are_checked_and_described(tmp_path, monkeypatch):
    def model(detector_sha256=None):
        files = {
            name: WeightFile(str(tmp_path), None, f"{name}.onnx", sha, None)
            for name, sha in (("detector", detector_sha256), ("recogniser", None))
        }
        return FaceModel("sface", "SFace", **files, search_px=640, min_score=0.8)

    (tmp_path / "detector.onnx").write_bytes(b"detector")
    with pytest.raises(MissingModelError, match=r"recogniser\.onnx"):
        model().check()
    (tmp_path / "recogniser.onnx").write_bytes(b"recogniser")
    with pytest.raises(ModelMismatchError, match="expected 0000"):
        model("0" * 64).check()
    described = model().describe()
    assert len(described["detector"]["sha256"]) == len(described["recogniser"]["sha256"]) == 64
    opened = []
    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *arguments: opened.append(arguments[0]))
    monkeypatch.setattr(cv2.FaceRecognizerSF, "create", lambda *arguments: opened.append(arguments[0]))
    model().load("cpu")
    assert opened == [str(tmp_path / "detector.onnx"), str(tmp_path / "recogniser.onnx")]
