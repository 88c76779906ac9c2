import numpy as np
import pytest
from PIL import Image

from src.core.building import build
from src.core.config import load_settings
from src.core.errors import EmptyDatasetError, MetricError
from src.features.store import image_file
from src.metrics.base import References, Sample
from src.metrics.lookalikes import OWN, LookalikeRank, ranks_first, read_photos
from tests.metrics.test_scores import ColourModel


def put(folder, *colours):
    folder.mkdir(parents=True)
    for number, colour in enumerate(colours):
        Image.new("RGB", (8, 8), colour).save(folder / f"{number}.png")


def unit(*rows):
    values = np.array(rows, dtype=float)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_the_subject_has_to_be_nearer_than_every_look_alike():
    toys = {OWN: unit([1, 0, 0]), "near": unit([1, 0.3, 0]), "far": unit([0, 0, 1])}
    assert ranks_first(unit([1, 0, 0], [1, 0.3, 0], [0, 0, 1], [1, -0.2, 0]), toys) == [True, False, False, True]


def test_the_mean_over_a_toys_photos_decides():
    toys = {OWN: unit([1, 0, 0], [1, 0, 0]), "other": unit([0, 1, 0], [1, 1, 0])}
    assert ranks_first(unit([1, 0.6, 0]), toys) == [True], "though the nearest photo of all is the other's"
    assert ranks_first(unit([0.3, 1, 0]), toys) == [False]
    assert ranks_first(unit([0, 0, 1]), toys) == [False], "a tie is not first"


def test_images_are_scored_against_the_photos_in_the_folders(tmp_path, store):
    put(tmp_path / "photos" / OWN, (200, 20, 20), (180, 20, 20))
    put(tmp_path / "photos/green", (20, 200, 20), (20, 180, 20))
    metric = LookalikeRank("rank_lookalikes", ColourModel(), str(tmp_path / "photos"), ["test"])
    put(tmp_path / "generated", (250, 30, 30), (60, 90, 20))
    samples = [
        Sample("base", str(number), "test", "", 0, "", image_file(tmp_path / f"generated/{number}.png"))
        for number in range(2)
    ]
    scores = metric.score(samples, References((), (), ()), store)
    assert [(score.value, score.metric, score.references) for score in scores] == [
        (1.0, "rank_lookalikes", "none"),
        (0.0, "rank_lookalikes", "none"),
    ]


def test_folders_that_cannot_be_compared_are_refused(tmp_path):
    with pytest.raises(MetricError, match="expected a folder own and one for each look-alike, found nothing"):
        read_photos(tmp_path)
    put(tmp_path / OWN, (1, 2, 3))
    with pytest.raises(MetricError, match="found own"):
        read_photos(tmp_path)
    put(tmp_path / "other", (1, 2, 3), (1, 2, 4))
    with pytest.raises(MetricError, match="2 photos, expected 1 as of own"):
        read_photos(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(EmptyDatasetError):
        read_photos(tmp_path)


def test_the_configuration_builds_it():
    metric = build(load_settings(["metrics=lookalikes"]).metrics["rank_lookalikes"], "metrics.rank_lookalikes")
    assert isinstance(metric, LookalikeRank)
    assert metric.folder == "data/lookalikes"
