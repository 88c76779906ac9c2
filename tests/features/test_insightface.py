"""insightface as a metric model: what stops it, what it is asked for, and its own loader on two made-up networks."""

import importlib.util
import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from src.core.config import load_settings
from src.core.errors import ConfigError, MetricError, MissingModelError, ModelMismatchError
from src.core.files import sha256_file
from src.features.insightface import InsightFaceExtractor, InsightFaceModel
from src.features.store import image_file
from src.stages.evaluate import build_metrics
from tests.metrics.synthetic import photos_of, sample

INSTALLED = importlib.util.find_spec("insightface") is not None
CHOSEN = ["model=tiny", "metrics=faces_insightface", "inference_metrics=[id_sim]"]
SIZE = (640, 640)


class FakeAnalysis:
    """Finds a large face on the left and a small one on the right of every image that is not black."""

    taken = ("det.onnx", "rec.onnx")

    def __init__(self, **asked):
        self.asked, self.prepared = asked, {}
        files = [f"{asked['name']}/{name}" for name in self.taken]
        assert files, "no detector"
        self.models = {
            task: SimpleNamespace(model_file=file)
            for task, file in zip(("detection", "recognition"), files, strict=False)
        }

    def prepare(self, **asked):
        self.prepared = asked

    def get(self, pixels):
        if not pixels.any():
            return []
        boxes = [(10, 4, 14, 8), (0, 0, 8, 16)]
        return [face(box, pixels[box[1] : box[3], box[0] : box[2]].mean((0, 1))) for box in boxes]


def face(box, embedding):
    return SimpleNamespace(bbox=np.array(box, np.float32), embedding=np.asarray(embedding, np.float32))


@pytest.fixture
def insightface(monkeypatch):
    """The package's API, without the package."""
    package, app = ModuleType("insightface"), ModuleType("insightface.app")
    package.__version__ = "2.1"
    app.FaceAnalysis = type("FaceAnalysis", (FakeAnalysis,), {})
    monkeypatch.setitem(sys.modules, "insightface", package)
    monkeypatch.setitem(sys.modules, "insightface.app", app)
    return app


@pytest.fixture
def metric_model(tmp_path):
    folder = tmp_path / "pack"
    folder.mkdir()
    for name in ("det.onnx", "rec.onnx"):
        (folder / name).write_bytes(name.encode())
    return InsightFaceModel(True, "buffalo_l", str(folder), "det.onnx", None, "rec.onnx", None, 640, 0.5)


@pytest.fixture
def picture(tmp_path):
    def make(left, right=(0, 0, 255)):
        image = Image.new("RGB", (16, 16), tuple(left))
        image.paste(tuple(right), (8, 0, 16, 16))
        image.save(tmp_path / f"{left}{right}.png")
        return image_file(tmp_path / f"{left}{right}.png")

    return make


def test_licence_must_be_acknowledged_before_anything_else():
    (metric,) = build_metrics(load_settings(CHOSEN))
    key = "metrics.id_sim.model.licence_acknowledged=true"
    with pytest.raises(ConfigError, match=f"non-commercial research only.*-S {key}"):
        metric.model.check()
    with pytest.raises(ConfigError, match="non-commercial research only"):
        metric.model.load("cpu")
    (acknowledged,) = build_metrics(load_settings([*CHOSEN, key]))
    with pytest.raises(MissingModelError):  # package or weights
        acknowledged.model.check()


@pytest.mark.skipif(INSTALLED, reason="insightface is installed")
def test_missing_package_names_the_command(metric_model):
    with pytest.raises(MissingModelError, match="`uv pip install insightface onnxruntime`"):
        metric_model.check()


def test_missing_or_changed_files_are_named(insightface, metric_model, tmp_path):
    metric_model.check()
    with pytest.raises(MissingModelError, match=r"absent/det\.onnx: no such file.*buffalo_l\.zip.*model\.folder="):
        replace(metric_model, folder=str(tmp_path / "absent")).check()
    with pytest.raises(ModelMismatchError, match=r"rec\.onnx: sha256 is .*, expected 0000"):
        replace(metric_model, recogniser_sha256="0" * 64).load("cpu")


def test_provenance_says_what_was_used_and_that_it_was_allowed(insightface, metric_model, tmp_path):
    described = metric_model.describe()
    assert described["files"] == {name: sha256_file(tmp_path / "pack" / name) for name in ("det.onnx", "rec.onnx")}
    assert described["licence_acknowledged"] is True
    assert (described["pack"], described["package"]) == ("buffalo_l", "insightface 2.1")
    assert described["det_size"] == [640, 640]


def test_networks_are_asked_for_in_one_size_on_the_cpu_from_the_folder(
    insightface, metric_model, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    analysis = replace(metric_model, folder="pack").load("cuda").analysis
    assert analysis.asked == {
        "name": str((tmp_path / "pack").resolve()),
        "allowed_modules": ["detection", "recognition"],
        "providers": ["CPUExecutionProvider"],
    }
    assert analysis.prepared == {"ctx_id": -1, "det_thresh": 0.5, "det_size": SIZE}


@pytest.mark.parametrize(
    ("taken", "message"),
    [
        (("another.onnx", "rec.onnx"), r"takes \{'detection': 'another.onnx'.*keep only those two"),
        (("det.onnx",), r"takes \{'detection': 'det.onnx'\}, expected"),
        ((), "finds no detector"),
    ],
)
def test_other_networks_than_the_named_ones_are_refused(insightface, metric_model, taken, message):
    insightface.FaceAnalysis.taken = taken
    with pytest.raises(ModelMismatchError, match=message):
        metric_model.load("cpu")


def test_largest_face_is_described_from_bgr_pixels(insightface, metric_model, picture):
    extractor = metric_model.load("cpu")
    assert extractor.face(picture((255, 0, 0))) == pytest.approx([0, 0, 1])
    assert extractor.face(picture((0, 255, 0), (255, 0, 0))) == pytest.approx([0, 1, 0])
    assert extractor.face(picture((0, 0, 0), (0, 0, 0))) is None


def test_leftmost_of_equally_large_faces_counts_and_a_broken_feature_stops(picture):
    boxes = {(8, 0, 12, 4): [0, 1], (2, 8, 6, 12): [1, 0]}
    faces = [face(box, embedding) for box, embedding in boxes.items()]
    extractor = InsightFaceExtractor(SimpleNamespace(get=lambda _: faces))
    assert extractor.face(picture((1, 1, 1))) == pytest.approx([1, 0])
    faces[1].embedding[0] = np.nan
    with pytest.raises(MetricError, match=r"\.png: the feature's length is nan"):
        extractor.face(picture((1, 1, 1)))


def test_identity_is_defined_as_with_the_other_metric_model(insightface, metric_model, picture, store):
    (metric,) = build_metrics(load_settings(CHOSEN))
    metric.model = metric_model
    photos = photos_of((picture((255, 0, 0)), picture((153, 204, 0))), ())
    images = [picture((255, 0, 0)), picture((0, 0, 0), (0, 0, 0))]
    rows = metric.score([sample(file, seed=i) for i, file in enumerate(images)], photos, store)
    values = {(row.sample.seed, row.metric): row.value for row in rows}
    assert values[0, "id_sim_all"] == values[0, "id_sim_detected"] == pytest.approx(0.8)
    assert [values[1, name] for name in ("face_rate", "id_sim_all", "id_sim_detected")] == [0, 0, None]


def write_networks(folder, onnx):
    """A detector that takes bright squares of 8 px for faces of 24 px, and a recogniser of mean colours.

    The outputs are insightface's: scores, distances to the four edges and to five landmarks, for strides 8, 16, 32.
    """
    node, number = onnx.helper.make_node, onnx.TensorProto.FLOAT

    def save(name, nodes, shape, outputs, constants):
        values = [onnx.helper.make_tensor_value_info("x", number, shape)]
        results = [onnx.helper.make_tensor_value_info(out, number, [f"n{out}", f"w{out}"]) for out in outputs]
        stored = [onnx.numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()]
        graph = onnx.helper.make_graph(nodes, name, values, results, stored)
        onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), name)

    # landmarks of the 112 px template (Deng et al., 2018) around the middle of a face of 24 px, in strides of 8 px
    landmarks = (np.array([[38, 52], [74, 52], [56, 72], [42, 92], [71, 92]], np.float32) - 56) * 24 / 112 / 8
    constants = {"flat": np.array([-1, 1]), "twice": np.array([1, 2])}
    constants |= {"edges": np.full((1, 4), 1.5, np.float32), "marks": landmarks.reshape(1, 10)}
    nodes, scores, edges, marks = [], [], [], []
    for stride in (8, 16, 32):
        s = str(stride)
        constants[f"gain{s}"] = np.float32(1.0 if stride == 8 else 0.0)
        nodes += [
            node("AveragePool", ["x"], ["p" + s], kernel_shape=[stride, stride], strides=[stride, stride]),
            node("ReduceMean", ["p" + s], ["m" + s], axes=[1]),
            node("Mul", ["m" + s, "gain" + s], ["g" + s]),
            node("Reshape", ["g" + s, "flat"], ["r" + s]),
            node("Tile", ["r" + s, "twice"], ["t" + s]),
            node("Reshape", ["t" + s, "flat"], ["score" + s]),
            node("Mul", ["score" + s, "zero"], ["z" + s]),
            node("Add", ["z" + s, "edges"], ["edge" + s]),
            node("Add", ["z" + s, "marks"], ["mark" + s]),
        ]
        scores, edges, marks = [*scores, "score" + s], [*edges, "edge" + s], [*marks, "mark" + s]
    detector = str(folder / "det.onnx")
    save(detector, nodes, [1, 3, "h", "w"], scores + edges + marks, constants | {"zero": np.float32(0)})
    colours = [node("AveragePool", ["x"], ["p"], kernel_shape=[112, 112]), node("Flatten", ["p"], ["y"])]
    save(str(folder / "rec.onnx"), colours, [1, 3, 112, 112], ["y"], {})


@pytest.mark.skipif(not INSTALLED, reason="insightface is not installed")
def test_real_loader_finds_faces_where_they_are(metric_model, tmp_path):
    onnx = pytest.importorskip("onnx")
    write_networks(tmp_path / "pack", onnx)
    extractor = metric_model.load("cpu")
    image = Image.new("RGB", SIZE)
    image.paste((255, 200, 220), (104, 104, 112, 112))
    image.save(tmp_path / "one.png")
    assert extractor.analysis.det_model.input_sizes == [SIZE]
    (found,) = extractor.analysis.get(np.asarray(image)[..., ::-1])
    assert found.bbox == pytest.approx([92, 92, 116, 116], abs=1e-3)
    red, green, blue = extractor.face(image_file(tmp_path / "one.png"))
    assert red > blue > green
    Image.new("RGB", SIZE).save(tmp_path / "none.png")
    assert extractor.face(image_file(tmp_path / "none.png")) is None
