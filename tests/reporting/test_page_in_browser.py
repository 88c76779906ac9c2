"""The page in a browser: every chart is generated, nothing is cut off, a click shows pictures."""

import re

import pytest

from src.reporting.page import build_report
from tests.reporting.project import facts


def test_report_generates_every_chart_in_a_browser_without_a_complaint(report, browse):
    names = re.findall(r'id="chart-([\w-]+)" role', report.read_text())
    assert {"scatter", "loss", "val_parts", "grad", "lr", "group-dino", "group-div_lpips"} <= set(names)
    document, complaints = browse(report)
    assert complaints == []
    figures = document.split('<figure class="chart">')[1:]
    assert len(figures) == len(names)
    assert all("<svg" in figure.split("</figure>")[0] for figure in figures)


def test_report_fits_a_phone(report, browse, tmp_path):
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe id="f" src="file://{report}" style="width:390px;height:800px"></iframe><script>'
        "f.onload = () => setTimeout(() => {const page = f.contentDocument.documentElement;"
        "document.title = page.clientWidth + ' ' + page.scrollWidth}, 2000)</script>"
    )
    document, _ = browse(frame)
    visible, whole = re.search(r"<title>(\d+) (\d+)</title>", document).groups()
    assert int(visible) > 350
    assert whole == visible


@pytest.mark.parametrize("width", [390, 520])
def test_legends_are_not_cut_off(project, browse, tmp_path, width):
    build_report(project, tmp_path / "ru.html", facts("ru"))
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe id="f" src="file://{tmp_path / "ru.html"}" style="width:{width}px;height:800px"></iframe><script>'
        "f.onload = () => setTimeout(() => {"
        "const labels = [...f.contentDocument.querySelectorAll('.role-legend-label text')];"
        "const right = (shape) => shape.getBoundingClientRect().right;"
        "const cut = labels.filter((label) => right(label) > right(label.closest('svg')) + 0.5);"
        "document.title = [labels.length, ...cut.map((label) => label.textContent)].join('; ')}, 3000)</script>"
    )
    document, _ = browse(frame)
    count, *cut = re.search(r"<title>(.*?)</title>", document)[1].split("; ")
    assert int(count) > 10
    assert not cut


@pytest.mark.parametrize(
    ("chart", "wanted", "shown"),
    [
        ("scatter", "name: base", "base: a toy in the jungle"),
        ("scatter", "name: step-000300", "step-000300: a sksToy toy in the jungle"),
        ("heatmap", "prompt: test-03", "base: a toy on a cobblestone street"),
    ],
)
def test_click_on_a_mark_shows_its_pictures(report, click, chart, wanted, shown):
    picked, complaints = click(report, chart, wanted)
    assert complaints == []
    assert re.findall(r'alt="([^"]*)"', picked)[0] == shown


# what a hostile photo name or prompt would bring, if something were not escaped
INJECTED = {
    "a script": '<script>document.title = "PWNED"</script>',
    "a handler": '<img src="x" onerror="document.title = \'PWNED\'">',
    "a link": '<a id="l" href="javascript:document.title=\'PWNED\'">x</a>',
    "a frame": "<iframe srcdoc=\"<script>parent.document.title = 'PWNED'</script>\"></iframe>",
    "a base": '<base href="http://127.0.0.1:9/">',
}


def test_page_runs_nothing_that_is_not_its_own(report, browse, tmp_path):
    page = tmp_path / "hostile.html"
    text = report.read_text()
    page.write_text(text.replace('<header class="head"', "".join(INJECTED.values()) + '<header class="head"'))
    opener = tmp_path / "opener.html"
    opener.write_text(
        f'<iframe id="f" src="file://{page}"></iframe><script>f.onload = () => setTimeout(() => {{'
        "f.contentDocument.getElementById('l').click();"
        "setTimeout(() => {document.title = f.contentDocument.title}, 500)}, 1000)</script>"
    )
    document, complaints = browse(opener)
    assert re.search(r"<title>(.*?)</title>", document)[1] == "sksToy on sd15"
    assert len([line for line in complaints if "Content Security Policy" in line]) >= len(INJECTED)
