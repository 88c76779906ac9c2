"""The page about photos and captions before the training: complete, in two languages, of one file, fit for a phone."""

import re
from copy import deepcopy
from typing import get_args

import pytest

from src.core.config import load_stage_params
from src.data.checks.finding import Finding, Kind, Unchecked
from src.reporting.data_report import KINDS, Looked, measured, write_findings, write_page
from src.reporting.inputs import read_inputs
from src.reporting.sections.data import section
from src.reporting.texts import load_texts
from tests.reporting.checked_project import make_good_project, photo_ids, shown_sources
from tests.reporting.html_page import Page, decoded
from tests.reporting.project import SENTINEL, facts

CAPTIONS = ("repeated_word", "no_background")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return make_good_project(tmp_path_factory.mktemp("checked") / "root")


def everything(ids):
    """A finding of each kind."""
    several = {"duplicates": tuple(ids[:3]), "same_caption": tuple(ids[3:5])}
    findings = [
        Finding(kind, several.get(kind, () if kind in CAPTIONS else (ids[5],)), 0.5, 0.25, "<b>detail</b>")
        for kind in KINDS
    ]
    return Looked(tuple(ids), tuple(findings), (Unchecked("small", "no_mask", "1/14"),), "the colours")


def write(root, out, looked, language):
    write_page(root, out, looked, load_stage_params("data_report", [f"report.language={language}"]))
    return out.read_text()


@pytest.mark.parametrize("language", ["en", "ru"])
def test_page_shows_each_photo_of_each_finding_and_loads_nothing(good, tmp_path, language):
    ids = photo_ids(good)
    text = write(good, tmp_path / "data.html", everything(ids), language)
    page = Page(text)
    assert not [address for address in page.addresses if not address.startswith("data:image/webp;base64,")]
    assert {"script", "link"}.isdisjoint(page.tags)
    assert all(SENTINEL.encode() not in picture for picture in decoded(page))
    assert len(decoded(page)) == 3 + 2 + len(KINDS) - 4
    assert shown_sources(text, "duplicates") == {"IMG_4630.HEIC", "IMG_4631.HEIC", "IMG_4632.HEIC"}
    for kind in set(KINDS) - {"duplicates", "same_caption", *CAPTIONS}:
        assert shown_sources(text, kind) == {"IMG_4635.HEIC"}, kind
    assert "<b>detail</b>" not in text
    assert "&lt;b&gt;detail&lt;/b&gt;" in text
    assert all(f'<section id="{kind}">' in text for kind in KINDS)


@pytest.mark.parametrize("language", ["en", "ru"])
def test_every_kind_says_what_it_is_and_what_can_be_done_in_one_sentence(language):
    texts = load_texts(language)
    for kind in get_args(Kind):
        assert texts(f"before.{kind}")
        assert texts(f"before.{kind}.what", model="DINO")
        advice = texts(f"before.{kind}.do")
        assert advice.endswith(".")
        assert advice.count(". ") == 0, advice


def test_page_without_findings_says_what_was_looked_for(good, tmp_path):
    ids, texts = photo_ids(good), load_texts("en")
    unchecked = (Unchecked("outlier", "few", "5"), Unchecked("several_faces", "failed", "no such file: `x.onnx`"))
    text = write(good, tmp_path / "data.html", Looked(tuple(ids), (), unchecked, "the colours"), "en")
    assert "Findings: 0, on 0 of 14 photos." in text
    assert "at least 5 are needed" in text
    assert "could not be looked for: no such file: <code>x.onnx</code>" in text
    clear = re.search(r"<h3>Looked for, and not found</h3>\s*<p class=\"note\">(.*?)</p>", text)[1].split(", ")
    assert texts("before.blurred") in clear
    assert not {texts("before.outlier"), texts("before.several_faces")} & {*clear}


@pytest.mark.parametrize(("share", "is_clear"), [("14/14", False), ("3/14", True)])
def test_what_no_crop_tells_is_not_called_clear(good, tmp_path, share, is_clear):
    looked = Looked(tuple(photo_ids(good)), (), (Unchecked("small", "no_mask", share),), "the colours")
    text = write(good, tmp_path / "data.html", looked, "en")
    clear = re.search(r"<h3>Looked for, and not found</h3>\s*<p class=\"note\">(.*?)</p>", text)[1].split(", ")
    assert (load_texts("en")("before.small") in clear) is is_clear


def test_large_figures_are_written_out():
    finding = Finding("blurred", ("a",), 1234.5, 1600.0, "8000")
    assert measured(finding, load_texts("en")) == "sharpness 1234, limit 1600 (median 8000)"


def test_findings_of_many_photos_unfold(good, tmp_path):
    ids = photo_ids(good)
    many = tuple(Finding("same_caption", (ids[n], ids[n + 1]), 2, 1, "a caption") for n in range(7))
    text = write(good, tmp_path / "data.html", Looked(tuple(ids), many, (), "the colours"), "en")
    shown, hidden = re.search(r'id="same_caption">(.*?)</section>', text, re.DOTALL)[1].split("<details>")
    assert (shown.count('class="group"'), hidden.count('class="group"')) == (4, 3)
    assert "<summary>3 more</summary>" in hidden


def test_table_has_a_row_for_each_photo_of_a_finding(tmp_path):
    findings = (Finding("duplicates", ("a", "b"), 2, 1), Finding("no_background", (), 0.0, 0.1))
    looked = Looked(("a", "b"), findings, (Unchecked("outlier", "few", "5"),), "the colours")
    write_findings(tmp_path / "findings.csv", looked, {"a": "A.HEIC", "b": "B.HEIC"})
    assert (tmp_path / "findings.csv").read_text().splitlines()[1:] == [
        "duplicates,a,A.HEIC,2.0,1.0,",
        "duplicates,b,B.HEIC,2.0,1.0,",
        "no_background,,,0.0,0.1,",
        "unchecked,,,,,outlier: few 5",
    ]


def test_report_links_to_the_page_of_what_was_trained_here(report, project):
    assert '<a href="data.html">' in report.read_text()
    inputs, texts, chosen = read_inputs(project), load_texts("en"), facts()
    assert section(inputs, chosen, texts).values["before"] == "data.html"
    judged = deepcopy(chosen)
    judged.train.steps = 0
    assert section(inputs, judged, texts).values["before"] == ""


def test_page_fits_a_phone(good, tmp_path, browse):
    page = tmp_path / "data.html"
    write(good, page, everything(photo_ids(good)), "ru")
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe id="f" src="file://{page}" style="width:390px;height:800px"></iframe><script>'
        "f.onload = () => setTimeout(() => {const page = f.contentDocument.documentElement;"
        "document.title = page.clientWidth + ' ' + page.scrollWidth}, 500)</script>"
    )
    document, complaints = browse(frame)
    visible, whole = re.search(r"<title>(\d+) (\d+)</title>", document).groups()
    assert int(visible) > 350
    assert whole == visible
    assert complaints == []
