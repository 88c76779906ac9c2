"""The page in a headless browser, and what it answers to whom."""

import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urljoin, urlparse

import psutil
import pytest
from PIL import Image

from src.core.picture_record import read_picture
from tests.integration.project import environment

pytest.importorskip("nicegui", reason="the page's packages are not installed: requirements-ui.txt")
ROOT = Path(__file__).resolve().parents[2]
WAIT_MS = 90_000
# what `dvc repro` prints of a training, until it is interrupted
WORKS = """
import time
print("Stage 'config' didn't change, skipping\\nRunning stage 'train':", flush=True)
print("step 50/300: held-out loss 0.12500\\nstep 100/300: held-out loss 0.11000", flush=True)
print("train: 150 of 300, 2.00 steps/s, 01:15 left", flush=True)
try:
    time.sleep(300)
except KeyboardInterrupt:
    raise SystemExit("train: interrupted") from None
"""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture
def server(held_out):
    """The page of a project with an adapter; yields its address and its process."""
    Path("dvc.yaml").symlink_to(ROOT / "dvc.yaml")
    Path("metrics").mkdir()
    Path("metrics/data.html").write_text("<p>the photos</p>")
    Path("metrics/report.html").write_text("<!doctype html><title>R</title><p>the report</p>")
    steps = ("validation_args.num_inference_steps=2", "validation_args.batch_size=2")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ui.server", *held_out, *steps],
        env=environment() | {"PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
    )
    try:
        found = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert found, "its first line names the address"
        yield found[0], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture
def browser(server):
    """A window of a browser, and the addresses that it asked for."""
    found = [path for name in BROWSERS if (path := shutil.which(name))]
    if not found:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on the path")
    sync_api = pytest.importorskip("playwright.sync_api", reason="requirements-dev.txt is not installed")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found[0], args=["--no-sandbox"])
        window = chromium.new_page(viewport={"width": 1280, "height": 900})
        window.set_default_timeout(WAIT_MS)
        asked, complaints = [], []
        window.on("request", lambda request: asked.append(request.url))
        window.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        yield window, asked, complaints
        chromium.close()


def ask(url, **headers):
    """Returns status, body and headers."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
            return answer.status, answer.read().decode(errors="replace"), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, "", error.headers


def drop_photos(window):
    """Drops a photo and what is none."""
    window.get_by_role("tab", name="Run").click()
    Image.new("RGB", (40, 30), "red").save("red.png")
    Path("note.png").write_text("no photo")
    window.locator("input[type=file]").set_input_files(["red.png", "note.png"])
    window.get_by_text("red.png: taken").wait_for()
    window.get_by_text("refused: note.png: ").wait_for()
    window.get_by_text("1 in data/raw: red.png").wait_for()
    assert [path.name for path in Path("data/raw").iterdir()] == ["red.png"]


def test_a_person_draws_compares_keeps_and_drops_a_photo(server, browser):
    address, _ = server
    window, asked, complaints = browser
    window.goto(address)
    window.get_by_label("Prompt (").fill("a photo of a sksToy bear on a rug")
    window.get_by_label("Seeds").fill("5")
    window.get_by_role("button", name="Draw").click()
    window.wait_for_selector(".picture img")
    columns = window.locator(".drawn")
    assert [column.locator(".title").inner_text() for column in columns.all()] == ["base model", "step-000100"]
    pictures = window.locator(".picture img")
    assert pictures.count() == 2
    window.wait_for_function("[...document.querySelectorAll('.picture img')].every(i => i.naturalWidth === 64)")
    for scores in window.locator(".scores").all():
        assert re.fullmatch(
            r"likeness\s+-?\d\.\d{3}\s+prompt fidelity\s+-?\d\.\d{3}\s+nearest training photo\s+-?\d\.\d{3}",
            scores.inner_text(),
        )
    window.get_by_role("button", name="Keep").nth(1).click()
    window.wait_for_selector(".kept img")
    [kept] = Path("outputs/kept").glob("*/*/*.png")
    assert kept.parts[-3] == "step-000100"
    assert read_picture(kept).seed == 5
    assert ask(urljoin(address, f"kept/{kept.relative_to('outputs/kept')}"))[0] == 200

    window.get_by_role("button", name="Add an adapter").click()
    window.get_by_label("Adapter: ").nth(1).fill("other")
    window.get_by_role("button", name="Draw").click()
    window.locator(".drawn").nth(2).wait_for()
    assert [column.locator(".title").inner_text() for column in columns.all()] == ["base model", "step-000100", "other"]
    window.get_by_role("button", name="take this adapter out").nth(1).click()
    window.get_by_role("button", name="checkpoints").click()
    window.locator(".q-menu .q-item").click()

    window.get_by_label("Guidance").fill("0.5")
    window.get_by_label("Negative prompt").fill("blurry")
    window.get_by_role("button", name="Draw").click()
    window.wait_for_selector(".problem:visible")
    assert "leads away from nothing" in window.locator(".problem:visible").inner_text()

    drop_photos(window)
    window.reload()
    window.wait_for_selector(".picture img")
    assert window.locator(".picture img").count() == 3
    window.get_by_role("tab", name="Run").click()
    window.get_by_text("red.png: taken").wait_for()
    assert {urlparse(url).netloc for url in asked if not url.startswith(("data:", "blob:"))} == {
        urlparse(address).netloc
    }
    assert complaints == []


def test_a_run_is_watched_stopped_gone_on_with_and_found_again_after_a_reload(server, browser):
    address, _ = server
    window, _, complaints = browser
    # stands in the place of the installed one, as `python -m` looks here first
    Path("dvc").mkdir()
    Path("dvc/__init__.py").touch()
    Path("dvc/__main__.py").write_text(WORKS)
    window.goto(address)
    window.get_by_role("tab", name="Run").click()
    window.get_by_role("button", name="Start").click()
    window.get_by_text("train: 150 of 300; 2.00 steps/s, 01:15 left; held-out loss 0.1100 at step 100").wait_for()
    assert window.locator(".stage.running").inner_text() == "train"
    assert window.locator(".stage.unchanged").inner_text() == "config"
    assert window.locator(".curve circle").count() == 2
    window.reload()
    window.get_by_text("Running.").wait_for()
    assert not window.get_by_role("button", name="Start").is_visible()
    assert not window.get_by_text("Open the report").is_visible()
    Image.new("RGB", (40, 30), "red").save("red.png")
    window.locator("input[type=file]").set_input_files("red.png")
    window.get_by_text("refused: a run reads these photos: stop it first").wait_for()
    window.get_by_role("button", name="Stop").click()
    window.get_by_text("Stopped; the state is kept").wait_for()
    assert "train: interrupted" in window.locator(".log").inner_text()
    Path("dvc/__main__.py").write_text("print(\"Running stage 'report':\")")
    window.get_by_role("button", name="Start").click()
    window.get_by_text("Done.").wait_for()
    with window.expect_popup() as opened:
        window.get_by_text("Open the report").click()
    assert opened.value.locator("p").inner_text() == "the report"
    assert ask(urljoin(address, "photos"))[1] == "<p>the photos</p>"
    Path("dvc/__main__.py").write_text("import sys; raise SystemExit(f'ERROR: {sys.argv[1:]}')")
    window.get_by_role("button", name="Look at the photos first").click()
    window.get_by_text("Failed; the last lines say why").wait_for()
    assert window.locator(".log").inner_text() == "ERROR: ['repro', 'data_report']"
    assert complaints == []


def test_it_answers_its_own_page_on_loopback_and_nobody_else(server):
    address, process = server
    listening = [one.laddr.ip for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    assert listening == ["127.0.0.1"]
    host = urlparse(address).netloc
    status, page, headers = ask(address)
    assert status == 200
    assert "connect-src 'self' ws://127.0.0.1" in headers["content-security-policy"]
    assert "default-src 'self'" in headers["content-security-policy"]
    assert ask(address, Host="rebound.example")[0] == 403
    assert ask(address, Origin="http://elsewhere.example")[0] == 403
    assert ask(address, Origin=f"http://{host}")[0] == 200
    assert ask(urljoin(address, "report"))[1].endswith("<p>the report</p>")
    for path in ("kept/../../dvc.yaml", "kept/%2e%2e/%2e%2e/dvc.yaml", "kept/a/b/c.png", "pictures/x.png", "dvc.yaml"):
        assert "stages:" not in ask(f"{address}{path}")[1], path
    linked = {urljoin(address, link) for link in re.findall(r"""(?:src|href|url)[=(]["']([^"']+)""", page)}
    linked |= {urljoin(address, link) for link in re.findall(r'"(/_nicegui/[^"]+)"', page)}
    assert len(linked) > 5
    assert {urlparse(link).netloc for link in linked if not link.startswith("data:")} == {host}
    for link in sorted(linked):
        if link.endswith(".css"):
            named = re.findall(r"""url\(["']?([^"')]+)""", ask(link)[1])
            assert not [name for name in named if urlparse(name).netloc], link
