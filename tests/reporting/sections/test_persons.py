"""The section on persons: shown with identity alone, its bars, level and gallery are those of the scores."""

import dataclasses
import re
import shutil

import pandas as pd
import pytest

from src.reporting.inputs import read_inputs
from src.reporting.page import build_report
from src.reporting.sections import persons as module
from src.reporting.sections.persons import face_rate_chart, faceless_samples, identity_histogram
from src.reporting.texts import load_texts
from tests.reporting.html_page import checked_charts
from tests.reporting.project import FACELESS, PLACES, REAL_LEVEL, SEEDS, add_identity, facts

TEXTS = load_texts("en")
IMAGES = len(PLACES) * len(SEEDS)


@pytest.fixture(scope="module")
def persons(project, tmp_path_factory):
    """A project in which identity was measured; nobody may change it."""
    return add_identity(shutil.copytree(project, tmp_path_factory.mktemp("persons") / "root"))


@pytest.fixture(scope="module")
def tables(persons):
    return read_inputs(persons)


@pytest.fixture(scope="module")
def page(persons, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "report.html"
    build_report(persons, out, facts())
    return out


def section(text):
    return re.search(r'<section id="persons">.*?</section>', text, re.DOTALL)[0]


def values(spec, name):
    return next(layer["data"]["values"] for layer in spec["layer"] if layer["data"]["name"] == name)


def test_histogram_holds_the_images_with_a_face_and_the_level_of_real_photos(tables):
    spec = identity_histogram(tables, TEXTS)
    images = pd.DataFrame(values(spec, "images"))
    assert images["who"].value_counts().to_dict() == {"run": IMAGES - len(FACELESS), "base": IMAGES - len(SEEDS)}
    means = images.groupby("who")["value"].mean()
    own = tables.scores[(tables.scores["metric"] == "id_sim_detected") & (tables.scores["set"] == "test")]
    for who, variant in (("run", "step-000200"), ("base", "base")):
        assert means[who] == pytest.approx(own[own["variant"] == variant]["value"].mean(), abs=1e-4)
    assert values(spec, "level") == [{"at": REAL_LEVEL}]


def test_histogram_without_level_or_faces(tables):
    subject_only = dataclasses.replace(tables, metrics={**tables.metrics, "real": {}})
    assert values(identity_histogram(subject_only, TEXTS), "level") == []
    blind = tables.scores.assign(value=tables.scores["value"].mask(tables.scores["metric"] == "id_sim_detected"))
    assert identity_histogram(dataclasses.replace(tables, scores=blind), TEXTS) is None


def test_face_rate_is_generated_for_every_test_prompt_in_order(tables):
    rows = face_rate_chart(tables, TEXTS)["data"]["values"]
    assert list(dict.fromkeys(row["prompt"] for row in rows)) == [f"test-{n:02d}" for n in range(len(PLACES))]
    rates = {(row["who"], row["prompt"]): row["value"] for row in rows}
    assert {key: rate for key, rate in rates.items() if rate < 1} == {
        ("run", "test-17"): 0,
        ("run", "test-18"): 0.5,
        ("base", "test-19"): 0,
    }


def test_gallery_holds_the_images_without_a_face_and_their_prompts(tables, monkeypatch):
    found = faceless_samples(tables)
    assert (found.count, found.total) == (len(FACELESS), IMAGES)
    assert [picture.label for picture in found.pictures] == [
        f"a sksToy toy {PLACES[int(prompt[-2:])]}" for prompt, _ in FACELESS
    ]
    monkeypatch.setattr(module, "SHOWN_FACELESS", 2)
    cut = faceless_samples(tables)
    assert (len(cut.pictures), cut.count) == (2, len(FACELESS))


def test_section_shows_its_figures_and_leaves_their_numbers(page):
    text = page.read_text()
    shown = section(text)
    assert '<a href="#persons">Faces</a>' in text
    assert re.findall(r'id="chart-([\w-]+)" role', shown) == ["identity", "face_rate"]
    assert {"identity", "face_rate"} <= checked_charts(text).keys()
    assert shown.count("<img") == len(FACELESS)
    assert f"{len(FACELESS)} of {IMAGES} test images" in shown
    assert "more are not shown" not in shown
    figures = page.parent / "figures"
    assert len(pd.read_csv(figures / "identity-images.csv")) == 2 * IMAGES - len(FACELESS) - len(SEEDS)
    assert pd.read_csv(figures / "identity-level.csv")["at"].tolist() == [REAL_LEVEL]
    assert len(pd.read_csv(figures / "face_rate-prompts.csv")) == 2 * len(PLACES)


def test_markdown_names_the_images_without_a_face_by_their_files(persons, page):
    text = page.with_suffix(".md").read_text()
    assert f"{len(FACELESS)} of {IMAGES} test images" in text
    shown = re.findall(r"^- !\[(.+)\]\((.+\.png)\) (.+)$", text, re.MULTILINE)
    assert [(label, (persons / "metrics" / path).is_file()) for label, path, _ in shown] == [
        (f"a sksToy toy {PLACES[int(prompt[-2:])]}", True) for prompt, _ in FACELESS
    ]
    assert all(label == prompt for label, _, prompt in shown)


def test_section_says_in_words_that_every_image_has_a_face_or_none(own_project, tmp_path):
    copies = [shutil.copytree(own_project, tmp_path / name) for name in ("all", "none")]
    add_identity(copies[0], faceless=())
    build_report(copies[0], tmp_path / "all.html", facts())
    assert "a face is found in each of the 40 test images" in section((tmp_path / "all.html").read_text())
    scores = pd.read_csv(add_identity(copies[1]) / "metrics/scores.csv", dtype=str, keep_default_na=False)
    identity = scores["metric"].isin(["id_sim_detected", "face_rate"])
    scores.loc[identity, "value"] = scores["metric"].map({"id_sim_detected": "", "face_rate": "0.0"})
    scores.to_csv(copies[1] / "metrics/scores.csv", index=False)
    build_report(copies[1], tmp_path / "none.html", facts())
    shown = section((tmp_path / "none.html").read_text())
    assert "No histogram: neither run nor base" in shown
    assert "40 of 40 test images" in shown
    assert "16 more are not shown here" in shown


def test_section_speaks_russian(persons, tmp_path):
    build_report(persons, tmp_path / "ru.html", facts("ru"))
    shown = section((tmp_path / "ru.html").read_text())
    assert "Узнаётся ли человек?" in shown
    assert not re.search(r"face is found|Images without|Dashed", shown)


def test_without_identity_nothing_is_said_about_persons(project, report):
    tables = read_inputs(project)
    assert faceless_samples(tables) is identity_histogram(tables, TEXTS) is face_rate_chart(tables, TEXTS) is None
    assert not re.search(r'id="persons"|#persons|chart-(identity|face_rate)', report.read_text())
    assert "Is it the person?" not in report.with_suffix(".md").read_text()
    assert not list((report.parent / "figures").glob("identity*"))


def test_section_generates_its_charts_in_a_browser_without_a_complaint(page, browse):
    document, complaints = browse(page)
    assert complaints == []
    shown = section(document)
    assert shown.count("<svg") == 2
    assert "face_rate" in shown


def test_click_on_a_bar_shows_the_pictures_of_its_prompt(page, click):
    picked, _ = click(page, "face_rate", "prompt: test-18")
    assert re.findall(r"<q>(.*?)</q>", picked) == [f"a sksToy toy {PLACES[18]}"]
