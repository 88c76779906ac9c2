"""A fake project and its report, made once; and a browser, where there is one."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from src.reporting.page import build_report
from tests.reporting.project import facts, make_project


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that nobody may change."""
    return make_project(tmp_path_factory.mktemp("project") / "root")


@pytest.fixture(scope="session")
def report(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "report.html"
    build_report(project, out, facts())
    return out


@pytest.fixture
def own_project(project: Path, tmp_path: Path) -> Path:
    """A project to break."""
    return Path(shutil.copytree(project, tmp_path / "own"))


@pytest.fixture
def browse(tmp_path: Path) -> Callable[[Path], tuple[str, list[str]]]:
    """Opens a file in a headless browser; returns its document after scripts ran, and what they logged."""
    found = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    if not found:
        pytest.skip("no browser")

    def open_page(page: Path) -> tuple[str, list[str]]:
        flags = "--headless --no-sandbox --disable-gpu --virtual-time-budget=8000 --enable-logging=stderr --dump-dom"
        files = ["--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'browser'}", f"file://{page}"]
        done = subprocess.run(
            [found[0], *flags.split(), *files], capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE:" in line]

    return open_page


# the page itself, in a frame: its policy lets no script of a test run inside it
CLICK = """<iframe id="f" src="file://PAGE" style="width:1200px;height:900px"></iframe><script>
f.onload = () => setTimeout(() => {
  const marks = [...f.contentDocument.querySelectorAll("#chart-NAME path")];
  const mark = marks.find((path) => (path.getAttribute("aria-label") || "").includes("WANTED"));
  mark.dispatchEvent(new f.contentWindow.MouseEvent("click", {bubbles: true, view: f.contentWindow}));
  setTimeout(() => f.contentDocument.querySelectorAll(".picked").forEach((shown) => document.body.append(shown)), 500);
}, 3000);
</script>"""


@pytest.fixture
def click(
    browse: Callable[[Path], tuple[str, list[str]]], tmp_path: Path
) -> Callable[[Path, str, str], tuple[str, list[str]]]:
    """Clicks on a chart's mark by what it says; returns what that shows, and what the browser logged."""

    def click_on(page: Path, chart: str, wanted: str) -> tuple[str, list[str]]:
        frame = tmp_path / "frame.html"
        frame.write_text(CLICK.replace("PAGE", str(page)).replace("NAME", chart).replace("WANTED", wanted))
        document, complaints = browse(frame)
        found = re.search(r"</script>(.*)", document, re.DOTALL)
        assert found is not None, document
        return found[1], complaints

    return click_on
