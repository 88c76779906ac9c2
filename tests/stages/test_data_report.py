"""The stage that looks at photos and captions before the training: planted faults are named, good photos are not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from src.core.building import build
from src.core.config import load_settings, load_stage_params
from src.core.errors import ConfigError
from src.features.store import FeatureStore
from src.features.weights import WeightFile
from src.metrics.identity import FaceModel
from src.stages import data_report
from src.stages.convert import convert_photos
from src.stages.crop import crop_images
from src.stages.data_report import (
    check_values,
    look,
    look_at_crops,
    look_for_outliers,
    read_crops,
    summarise,
    without_folders,
)
from tests.reporting.checked_project import (
    BLUE,
    SOFT,
    TINY,
    UNSURE,
    ColourModel,
    Faces,
    make_good_project,
    photo_ids,
    plant_faults,
)

PHOTOS = Path(__file__).parents[3] / "shared" / "photos"
CHOSEN = ("subject=toy", "device=cpu")


def params(*words):
    return load_stage_params("data_report", [*CHOSEN, *words])


def look_at(root, faces=None, *words):
    return look(params(*words), root / "data", ColourModel(), faces or Faces({}))


def found(looked):
    return {finding.kind: finding.images for finding in looked.findings}


def missing(folder):
    """Networks that are not on this machine."""
    file = WeightFile(str(folder / "nowhere"), None, "weights.onnx", None, None)
    return FaceModel("sface", "YuNet and SFace", file, file, 640, 0.8)


@pytest.fixture
def good(tmp_path):
    return make_good_project(tmp_path / "good")


def test_good_photos_have_near_duplicates_only(good):
    looked = look_at(good)
    assert {finding.kind for finding in looked.findings} == {"duplicates"}
    assert [(one.kind, one.why) for one in looked.unchecked] == [("several_faces", "off"), ("strange_face", "off")]


def test_each_planted_fault_is_named(good):
    ids = photo_ids(plant_faults(good))
    assert {kind: images for kind, images in found(look_at(good)).items() if kind != "duplicates"} == {
        "outlier": (ids[BLUE],),
        "blurred": (ids[SOFT],),
        "small": (ids[TINY],),
        "upscaled": (ids[UNSURE],),
        "crop": (ids[UNSURE],),
        "empty_caption": (ids[0],),
        "same_caption": (ids[1], ids[2]),
    }


def test_captions_without_words_leave_too_few_to_speak_of_them_as_a_whole(good):
    table = pd.read_csv(good / "data/captions.csv", dtype=str, keep_default_na=False)
    table.loc[3:, "caption"] = params().caption.prefix
    table.to_csv(good / "data/captions.csv", index=False)
    unchecked = {(one.kind, one.why) for one in look_at(good).unchecked}
    assert {("repeated_word", "few"), ("no_background", "few")} <= unchecked


def test_faces_are_counted_and_compared_where_they_are_looked_for(good):
    ids = photo_ids(good)
    faces = Faces({ids[3]: 2, ids[4]: 0}, stranger=ids[9])
    named = found(look_at(good, faces, "data_report.look_for_faces=true"))
    assert (named["several_faces"], named["strange_face"]) == ((ids[3],), (ids[9],))
    two = Faces({image: int(number < 2) for number, image in enumerate(ids)})
    looked = look_at(good, two, "data_report.look_for_faces=true")
    assert ("strange_face", "few") in [(one.kind, one.why) for one in looked.unchecked]


def test_missing_networks_are_named_and_stop_nothing(good, tmp_path, dino_model):
    absent = replace(dino_model, id=str(tmp_path / "nowhere"))
    looked = look(params("data_report.look_for_faces=true"), good / "data", absent, missing(tmp_path))
    assert [one.kind for one in looked.unchecked if one.why == "failed"] == ["outlier", "several_faces", "strange_face"]
    said = summarise(looked, dict.fromkeys(looked.images, "photo"))
    assert said.count("data_report: warning: no ") == 3
    assert "nowhere" in said
    assert str(tmp_path) not in said
    assert not [one for one in looked.unchecked if str(tmp_path) in one.detail]


def test_messages_keep_the_last_names_of_paths_and_addresses():
    said = (
        "/home/me/models/dino/model.safetensors: no such file; C:\\models\\x.onnx; models/dino/a.bin; http://a.org/b/c"
    )
    assert without_folders(said) == "…/model.safetensors: no such file; …/x.onnx; models/dino/a.bin; http://a.org/b/c"


def test_few_photos_are_not_compared_and_no_network_is_loaded(good):
    rows, crops = read_crops(good / "data")[:4], good / "data/crops"
    settings = params().data_report
    named, unchecked = look_for_outliers(rows, crops, settings, object(), FeatureStore(4, "cpu"))
    assert (named, [(one.why, one.detail) for one in unchecked]) == ([], [("few", "5")])


def test_crops_without_a_mask_are_measured_whole_and_their_share_is_not_known(good):
    rows = [replace(row, share=None) for row in read_crops(good / "data")]
    for row in rows:
        (good / f"data/crops/masks/{row.image}.png").unlink()
    named, unchecked = look_at_crops(rows, good / "data/crops", params().data_report, 2.0)
    assert not {"small", "blurred"} & {finding.kind for finding in named}
    assert [(one.kind, one.why, one.detail) for one in unchecked] == [("small", "no_mask", "14/14")]


@pytest.mark.parametrize(
    "setting", ["repeated_share=1.5", "least_sharpness=0", "outlier_deviations=-1", "same_person=2"]
)
def test_thresholds_that_mean_nothing_are_refused(setting):
    with pytest.raises(ConfigError, match=f"data_report.{setting.split('=')[0]}"):
        check_values(params(f"data_report.{setting}").data_report)
    check_values(params().data_report)


def test_two_groups_cannot_say_who_is_the_odd_one():
    with pytest.raises(ConfigError, match="3 or more"):
        check_values(params("data_report.outlier_least_groups=2").data_report)


def test_stage_writes_page_and_table(good, monkeypatch, capsys):
    ids = photo_ids(plant_faults(good))
    monkeypatch.chdir(good)
    monkeypatch.setattr(data_report, "build", lambda _, key: Faces({}) if key == "faces" else ColourModel())
    monkeypatch.setattr(data_report.Stage, "main", lambda stage: stage.body(params()))
    data_report.main()
    table = pd.read_csv(good / "metrics/data_findings.csv", dtype=str, keep_default_na=False)
    assert list(table.columns) == ["kind", "image_id", "source", "figure", "threshold", "detail"]
    (row,) = table[table["kind"] == "small"].to_dict("records")
    assert row == {
        "kind": "small",
        "image_id": ids[TINY],
        "source": "IMG_4637.HEIC",
        "figure": "0.02",
        "threshold": "0.1",
        "detail": "",
    }
    assert list(table["detail"][table["kind"] == "unchecked"]) == ["several_faces: off", "strange_face: off"]
    assert "IMG_4637.HEIC" in (good / "metrics/data.html").read_text()
    assert "data_report: small: IMG_4637.HEIC" in capsys.readouterr().out


def test_choices_for_persons_look_for_faces():
    assert not params().data_report.look_for_faces
    assert load_stage_params("data_report", ["subject=person"]).data_report.look_for_faces
    assert isinstance(build(params().faces, "faces"), FaceModel)


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the real photos are not here")
def test_dog_among_photos_of_a_toy_and_a_blurred_copy_are_named(tmp_path, published, monkeypatch):
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("sksToy/IMG_4630", "sksToy/IMG_4636", "sksToy/IMG_4641", "sksToy/IMG_4645", "sksToy/IMG_4653"):
        (raw / f"{Path(name).name}.HEIC").write_bytes((PHOTOS / f"{name}.HEIC").read_bytes())
    (raw / "dog.HEIC").write_bytes((PHOTOS / "dog3/IMG_0002.HEIC").read_bytes())
    settings = load_settings(CHOSEN)
    data = tmp_path / "data"
    convert_photos(raw, data / "images", settings.convert, 1)
    cropper = build(settings.cropper, "cropper")
    if cropper.network is None:
        pytest.skip("the salient cropper's network is not here")
    crop_images(data / "images", data / "crops", cropper, 512, 2.0)
    rows = read_crops(data)
    monkeypatch.chdir(published)
    model = build(settings.metric_models["dino"], "metric_models.dino")
    limits = settings.data_report
    named, _ = look_for_outliers(rows, data / "crops", limits, model, FeatureStore(4, "cpu"))
    assert [image.split("-")[0] for finding in named for image in finding.images] == ["dog"]
    named, _ = look_at_crops(rows, data / "crops", limits, 2.0)
    assert "blurred" not in {finding.kind for finding in named}
    path = data / f"crops/{rows[1].image}.png"
    soft = np.asarray(Image.open(path).filter(ImageFilter.GaussianBlur(2)))
    Image.fromarray(soft).save(path)
    named, _ = look_at_crops(rows, data / "crops", limits, 2.0)
    assert [finding.images for finding in named if finding.kind == "blurred"] == [(rows[1].image,)]
