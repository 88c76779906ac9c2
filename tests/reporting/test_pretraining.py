import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from src.core.errors import EmptyDatasetError
from src.reporting.pretraining import PAGES, SHOWN_CLASSES, write_pretraining_report
from tests.reporting.html_page import Page, decoded

CLASSES = ("apple pie", "mug", "tree")
TITLE = "Cats & <mugs>"


def make_run(folder, classes=CLASSES, samples=3):
    """What a training leaves behind, made up."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    step = np.arange(50, 1001, 50)
    losses = {"step": step, "loss": np.exp(-step / 300) + 0.1, "kl": 5 + np.exp(-step / 500)}
    pd.DataFrame(losses).to_csv(folder / "loss.csv", index=False)
    evaluations = {
        "step": [250, 500, 750, 1000],
        "val_loss": [0.5, 0.4, 0.3, 0.35],
        "fid_tabletop": [np.nan, 80.25, np.nan, 41.5],
        "psnr": [20.0, 25.0, 24.0, 23.0],
    }
    pd.DataFrame(evaluations).to_csv(folder / "evaluation.csv", index=False)
    (folder / "config.yaml").write_text("task: {condition: class}\ntrain_data:\n  folder: /home/someone/photos\n")
    (folder / "time.json").write_text('{"minutes": 57.25, "device": "Abacus, 2 threads"}')
    for name in classes:
        (folder / "samples" / name).mkdir(parents=True)
        for index in range(samples):
            image = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
            image.save(folder / "samples" / name / f"{index:03d}.png")
    (folder / "real/mug").mkdir(parents=True)
    Image.new("RGB", (16, 16), (10, 200, 30)).save(folder / "real/mug/000.png")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with its page that nobody may change."""
    folder = make_run(tmp_path_factory.mktemp("scratch") / "run")
    write_pretraining_report(folder, TITLE)
    return folder


@pytest.fixture
def own_run(run, tmp_path):
    """A run to break, without page."""
    folder = shutil.copytree(run, tmp_path / "run")
    for name in PAGES.values():
        (folder / name).unlink()
    return folder


def text_of(run):
    return (run / "report.html").read_text()


def specs_of(run):
    return json.loads(re.search(r'id="chart-specs" type="application/json">\s*(.*?)\s*</script>', text_of(run))[1])


def points(spec):
    rows = next(iter(spec["datasets"].values())) if "datasets" in spec else spec["data"]["values"]
    return [(row["step"], row["value"]) for row in rows]


def test_pretraining_report_loads_nothing_from_elsewhere(run):
    page = Page(text_of(run))
    assert {address[:5] for address in page.addresses if not address.startswith("#")} == {"data:"}
    assert not {"link", "iframe", "object", "embed", "base"} & set(page.tags)
    assert "default-src 'none'" in text_of(run)
    assert len(decoded(page)) == len(CLASSES) * 3 + 1


def test_pretraining_report_says_how_long_it_took_and_on_what(run):
    assert "on Abacus, 2 threads" in text_of(run)
    assert '<dt>Minutes</dt><dd title="Abacus, 2 threads">57.25</dd>' in text_of(run)


def test_pretraining_report_shows_every_class_in_order(run):
    names = re.findall(r'<p class="asked">(.*?)</p>', text_of(run))
    assert names == sorted(CLASSES)
    assert text_of(run).count('alt="mug, sample') == 3


def test_pretraining_report_shows_real_images_before_the_generated_ones(run):
    mug = text_of(run).split('<p class="asked">mug</p>')[1].split("</article>")[0]
    assert mug.index('alt="mug, real image 1"') < mug.index('alt="mug, sample 1"')
    tree = text_of(run).split('<p class="asked">tree</p>')[1].split("</article>")[0]
    assert "real" not in tree


def test_pretraining_report_comes_in_russian_too(run):
    text = (run / "report.ru.html").read_text()
    assert '<html lang="ru">' in text
    for words in ("Обучение с нуля: 1,000 шагов", "настоящие", "Метрики по шагам", "скользящее среднее"):
        assert words in text, words
    for words in ("Trained from", "moving average", "Samples", ">Loss<", "What it generates"):
        assert words not in text, words


def test_pretraining_report_generates_fid_first_and_leaves_gaps_out(run):
    specs = specs_of(run)
    measures = [name for name in re.findall(r'id="chart-([\w-]+)" role', text_of(run)) if name.startswith("measure")]
    assert measures == ["measure-fid_tabletop", "measure-val_loss", "measure-psnr"]
    assert points(specs["measure-fid_tabletop"]) == [(500, 80.25), (1000, 41.5)]


def test_pretraining_report_offers_the_loss_on_a_logarithmic_scale(run):
    specs = specs_of(run)
    assert specs["loss-log"]["encoding"]["y"]["scale"]["type"] == "log"
    assert "type" not in specs["loss"]["encoding"]["y"]["scale"]
    assert set(specs) >= {"loss", "loss-log", "part-kl"}


def test_pretraining_report_marks_the_best_evaluation_by_its_direction(run):
    head, *rows = Page(text_of(run)).tables[0]
    assert head == ["step", "fid_tabletop ↓", "val_loss ↓", "psnr ↑"]
    assert rows[0] == ["250", "–", "0.5", "20.0"]
    table = text_of(run).split('class="numbers"')[1].split("</table>")[0]
    best = re.findall(r'class="best"><data value="([\d.]+)"', table)
    assert best == ["25.0", "0.3", "41.5"]
    assert "fid_tabletop ended at 41.5." in text_of(run)


def test_pretraining_report_escapes_and_shortens(run):
    text = text_of(run)
    assert "<mugs>" not in text
    assert "Cats &amp; &lt;mugs&gt;" in text
    assert "/home/someone" not in text
    assert "folder: …/photos" in text


def test_pretraining_report_is_the_same_bytes_again(run, own_run):
    write_pretraining_report(own_run, TITLE)
    assert (own_run / "report.html").read_bytes() == (run / "report.html").read_bytes()


def test_pretraining_report_does_without_samples_measures_and_positive_losses(own_run):
    shutil.rmtree(own_run / "samples")
    pd.DataFrame({"step": [50, 100], "loss": [0.5, -0.1], "{odd}": [np.nan, np.nan]}).to_csv(
        own_run / "loss.csv", index=False
    )
    pd.DataFrame({"step": [100], "fid_tabletop": [np.nan]}).to_csv(own_run / "evaluation.csv", index=False)
    write_pretraining_report(own_run, TITLE)
    text = text_of(own_run)
    assert set(specs_of(own_run)) == {"loss"}
    for line in ("This model generates no pictures", "Nothing was measured", "No logarithmic scale"):
        assert line in text, line


def test_pretraining_report_folds_many_classes(tmp_path):
    run = make_run(tmp_path / "run", [f"class {index:03d}" for index in range(SHOWN_CLASSES + 3)], samples=1)
    write_pretraining_report(run, TITLE)
    assert (
        text_of(run).index("class 009, sample")
        < text_of(run).index("3 more classes")
        < text_of(run).index("class 010, sample")
    )


@pytest.mark.parametrize("name", ["loss.csv", "evaluation.csv", "config.yaml", "time.json"])
def test_pretraining_report_names_a_missing_file_and_writes_nothing(own_run, name):
    (own_run / name).unlink()
    with pytest.raises(EmptyDatasetError, match=rf"{re.escape(name)} is missing; it is made by `python train.py"):
        write_pretraining_report(own_run, TITLE)
    assert not (own_run / "report.html").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "is empty"), ("step,loss\n", "has no rows"), ("step,lost\n1,2\n", "no column loss")],
)
def test_pretraining_report_names_a_bad_table(own_run, content, message):
    (own_run / "loss.csv").write_text(content)
    with pytest.raises(EmptyDatasetError, match=rf"loss\.csv:? {message}"):
        write_pretraining_report(own_run, TITLE)


def test_pretraining_report_names_an_empty_folder_of_samples(own_run):
    (own_run / "samples/none").mkdir()
    with pytest.raises(EmptyDatasetError, match=r"samples/none: expected at least one \.png"):
        write_pretraining_report(own_run, TITLE)


def test_pretraining_report_generates_every_chart_in_a_browser_without_a_complaint(run, browse):
    names = re.findall(r'id="chart-([\w-]+)" role', text_of(run))
    assert set(names) == set(specs_of(run))
    document, complaints = browse(run / "report.html")
    assert complaints == []
    figures = document.split('<figure class="chart">')[1:]
    assert len(figures) == len(names)
    assert all("<svg" in figure.split("</figure>")[0] for figure in figures)


def test_the_page_says_what_fid_tabletop_compares_and_what_halves_of_real_images_have(own_run):
    table = pd.read_csv(own_run / "evaluation.csv")
    table.assign(fid_tabletop_floor=6.8, fid_tabletop_images=300.0).to_csv(own_run / "evaluation.csv", index=False)
    write_pretraining_report(own_run, "FID")
    for name, words in (
        ("report.html", ("the embedded world&#39;s classifier", "Over 300 held-out images", "150 each, are 6.8 apart")),
        (
            "report.ru.html",
            ("классификатора встроенного мира", "По 300 отложенным", "по 150, отстоят друг от друга на 6.8"),
        ),
    ):
        page = (own_run / name).read_text(encoding="utf-8")
        assert all(word in page for word in words)
        assert "measure-fid_tabletop_images" not in page
