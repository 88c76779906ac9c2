"""The page in a browser: every chart is drawn, nothing is cut off, a click shows pictures."""

import re

import pytest

from src.reporting.page import build_report
from tests.reporting.project import FACTS


def test_report_draws_every_chart_in_a_browser_without_a_complaint(report, browse):
    names = re.findall(r'id="chart-([\w-]+)" role', report.read_text())
    assert {"scatter", "loss", "val_parts", "grad", "lr", "group-dino_vits16", "group-div_lpips"} <= set(names)
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
    build_report(project, tmp_path / "ru.html", FACTS, "ru")
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


CLICK = """<script>
setTimeout(() => {
  const marks = [...document.querySelectorAll("#chart-NAME path")];
  const mark = marks.find((path) => (path.getAttribute("aria-label") || "").includes("WANTED"));
  mark.dispatchEvent(new MouseEvent("click", {bubbles: true, view: window}));
}, 3000);
</script>"""


@pytest.mark.parametrize(
    ("chart", "wanted", "shown"),
    [
        ("scatter", "name: base", "base: a toy in the jungle"),
        ("scatter", "name: step-000300", "step-000300: a sksToy toy in the jungle"),
        ("heatmap", "prompt: test-03", "base: a toy on a cobblestone street"),
    ],
)
def test_click_on_a_mark_shows_its_pictures(report, browse, tmp_path, chart, wanted, shown):
    page = tmp_path / "clicked.html"
    page.write_text(report.read_text() + CLICK.replace("NAME", chart).replace("WANTED", wanted))
    document, complaints = browse(page)
    assert complaints == []
    (picked,) = re.findall(r'class="[^"]*picked".*?alt="([^"]*)"', document, re.DOTALL)
    assert picked == shown
