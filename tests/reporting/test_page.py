import dataclasses
import io
import json
import os
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from jsonschema.exceptions import ValidationError
from PIL import Image

from src.core.errors import ConfigError, EmptyDatasetError
from src.reporting.inputs import read_inputs
from src.reporting.page import build_report
from src.reporting.sections.copying import SHOWN_PAIRS
from src.reporting.sections.samples import SHOWN_EXTREMES, extreme_samples
from src.reporting.texts import load_sources
from tests.metrics.quantities import described
from tests.reporting.html_page import Page, checked_charts, decoded
from tests.reporting.project import PLACES, SELECTED, SENTINEL, STEPS, facts


def test_report_loads_nothing_from_elsewhere(report):
    text = report.read_text()
    page = Page(text)
    assert {address[:5] for address in page.addresses} == {"data:"}
    # what is cited, and the page about the photos, which lies beside this one
    allowed = {source.link for source in load_sources("en")} | {"data.html"}
    assert {link for link in page.links if not link.startswith("#")} == allowed
    assert not {"link", "iframe", "object", "embed", "base"} & set(page.tags)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert report.stat().st_size < 4e6


def test_report_images_decode_and_carry_no_metadata(report):
    page = Page(report.read_text())
    images = decoded(page)
    # 20 prompts x 2 seeds x 2 models, 2 strips, a strip over checkpoints, photo and crop of each photo, two groups of
    # two near-duplicates, nearest pairs, best and worst by two metrics
    assert (
        len(images) == 20 * 2 * 2 + 12 + 2 + len(STEPS) + 1 + 2 * 14 + 2 * 2 + 2 * SHOWN_PAIRS + 2 * 2 * SHOWN_EXTREMES
    )
    for data in images:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            assert max(image.size) <= 256
            assert not {"exif", "icc_profile", "xmp"} & set(image.info)
        assert SENTINEL.encode() not in data
    assert SENTINEL not in report.read_text()


def test_report_shows_prompts_in_order_before_any_number(report):
    text = report.read_text()
    places = [text.index(f"a sksToy toy {place}</q>") for place in PLACES[:-1]]
    assert places == sorted(places)
    assert places[8] < text.index("11 more test prompts") < places[9]
    assert places[-1] < text.index('id="metrics"') < text.index('id="training"') < text.index('id="provenance"')


def test_report_table_holds_the_exact_values(report, project):
    metrics = json.loads((project / "metrics/details.json").read_text())
    tables = Page(report.read_text()).tables
    head, *lines = next(table for table in tables if table[0][1:] == ["run", "base", "real", "copy"])
    for place, name in enumerate(head[1:], start=1):
        shown = {line[0].split(" ")[0]: float(line[place]) for line in lines if line[place] != "–"}
        assert shown == metrics[name]


def test_report_opens_its_metrics_with_few_that_are_named_in_words(report, project):
    metrics = json.loads((project / "metrics/details.json").read_text())
    head, *lines = next(table for table in Page(report.read_text()).tables if table[0][1:4] == ["base", "run", "real"])
    assert [re.sub(r"\s+", " ", line[0]) for line in lines] == [
        "Subject likeness ↑ dino",
        "Prompt fidelity ↑ clip_t",
        "Diversity ↑ div_lpips",
        "Nearest training photo nn_train",
    ]
    assert lines[0][1:4] == [repr(metrics[row]["dino"]) for row in ("base", "run", "real")]
    assert len(head) == 5


def test_report_escapes_prompts_and_shortens_paths(report, project):
    text = report.read_text()
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text
    for private in (str(project), "/home/someone", "/srv/", "~/weights"):
        assert private not in text


def test_report_is_the_same_bytes_in_another_process(report, project, tmp_path):
    code = (
        "from pathlib import Path; from src.reporting.page import build_report; "
        "from tests.reporting.project import facts; import sys; "
        "root, out = map(Path, sys.argv[1:]); [build_report(root, out, facts()) for _ in range(2)]"
    )
    out = tmp_path / "again.html"
    moved = shutil.copytree(project, tmp_path / "elsewhere")
    env = {**os.environ, "PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", code, str(moved), str(out)], check=True, env=env)
    assert out.read_bytes() == report.read_bytes()


def test_report_says_what_is_missing(own_project, tmp_path):
    train = own_project / "metrics/train"
    (train / "val_loss.csv").unlink()
    pd.read_csv(train / "loss.csv")[["step", "loss"]].to_csv(train / "loss.csv", index=False)
    metrics = json.loads((own_project / "metrics/details.json").read_text())
    metrics["checkpoints"] = {"step-000200": metrics["checkpoints"]["step-000200"]}
    for means in (*metrics["checkpoints"].values(), *(metrics[row] for row in ("run", "base", "real", "copy"))):
        means.pop("div_lpips", None)
        means.pop("dino", None)
    (own_project / "metrics/details.json").write_text(json.dumps(metrics))
    scores = pd.read_csv(own_project / "metrics/scores.csv")
    scores[scores["metric"] != "dino"].to_csv(own_project / "metrics/scores.csv", index=False)
    shutil.rmtree(own_project / "models")
    split = pd.read_csv(own_project / "data/split.csv").assign(split="train")
    split.to_csv(own_project / "data/split.csv", index=False)
    shown = facts()
    tabletop = dataclasses.replace(shown, model=dataclasses.replace(shown.model, name="tabletop"))
    build_report(own_project, tmp_path / "r.html", tabletop)
    text = (tmp_path / "r.html").read_text()
    for line in (
        "The embedded model knows a small world of 14 toys",
        "step-000200 is its only checkpoint",
        "There are no held-out photos",
        "Only one checkpoint was kept",
        "No scatter: it needs",
        "No held-out loss",
        "Gradient norms were not logged",
        "The learning rate was not logged",
        "Without prior preservation",
        "No configuration is stored",
    ):
        assert line in text, line
    assert 'id="chart-scatter"' not in text


def test_report_says_that_copying_was_not_measured_and_which_images_have_no_face(own_project, tmp_path):
    scores = pd.read_csv(own_project / "metrics/scores.csv", keep_default_na=False)
    faces = scores[scores["metric"] == "clip_i"].assign(metric="id_sim_detected", value="", reason="no face")
    pd.concat([scores[scores["metric"] != "nn_train"], faces]).to_csv(own_project / "metrics/scores.csv", index=False)
    (own_project / "metrics/nearest.csv").write_text("variant,prompt_id,set,seed,photo\n")
    metrics = json.loads((own_project / "metrics/details.json").read_text()) | {"copying": {}}
    for means in (*metrics["checkpoints"].values(), *(metrics[row] for row in ("run", "base"))):
        means |= {"id_sim_all": 0.0, "face_rate": 0.0}
        del means["nn_train"]
    (own_project / "metrics/details.json").write_text(json.dumps(metrics))
    out = tmp_path / "report/r.html"
    build_report(own_project, out, facts())
    for text in (out.read_text(), out.with_suffix(".md").read_text()):
        assert "Not measured: nn_train is not among inference_metrics" in text
        assert "face_rate" in text
    assert f"{len(faces)} × id_sim_detected: no face" in out.read_text()


def test_report_speaks_russian_or_refuses_the_language(project, tmp_path):
    build_report(project, tmp_path / "ru.html", facts("ru"))
    text = (tmp_path / "ru.html").read_text()
    assert '<html lang="ru">' in text
    assert "Отложенные фотографии" in text
    assert "Held-out photos" not in text
    with pytest.raises(ConfigError, match=r"report.language='de': expected one of en, ru"):
        build_report(project, tmp_path / "de.html", facts("de"))


def test_report_names_a_missing_sample_and_writes_nothing(own_project, tmp_path):
    (own_project / "data/samples/step-000200/test-03/1.png").unlink()
    with pytest.raises(EmptyDatasetError, match=r"data/samples/step-000200/test-03/1.png is missing.*stage generate"):
        build_report(own_project, tmp_path / "r.html", facts())
    assert not (tmp_path / "r.html").exists()


def test_report_says_what_its_rows_and_its_choice_cannot_tell(report):
    text = report.read_text()
    for line in (
        "Its likeness compares the same photos as row real",
        "copying shows by a likeness to the nearest training photo near 1 and a low prompt fidelity",
        "both are measured by the same held-out photos, so a small advantage of the choice remains",
        "CLIP usually 0.20 to 0.35, other metric models have other levels",
    ):
        assert line in text, line


def test_report_tells_gains_from_losses(own_project, tmp_path):
    metrics = json.loads((own_project / "metrics/details.json").read_text())
    metrics["against_base"] |= {
        "div_lpips": {"mean": -0.2, "low": -0.25, "high": -0.15},
        "nn_train": {"mean": 0.2, "low": 0.15, "high": 0.25},
    }
    (own_project / "metrics/details.json").write_text(json.dumps(metrics))
    build_report(own_project, tmp_path / "r.html", facts())
    text = (tmp_path / "r.html").read_text()
    assert "gained over base</h3>" not in text
    found = re.findall(r'<td class="(\w+)"><data value="([^"]+)">.*?<td>([^<]+)</td></tr>', text)
    assert found == [
        ("better", "+0.2000", "yes, better"),
        ("worse", "-0.2000", "yes, worse"),
        ("differs", "+0.2000", "yes"),
    ]


def test_report_comes_as_markdown_too(own_project):
    out = own_project / "metrics/report.html"
    build_report(own_project, out, facts())
    text = out.with_suffix(".md").read_text()
    values = json.loads((own_project / "metrics/details.json").read_text())
    rows = [values[row]["dino"] for row in ("run", "base", "real", "copy")]
    assert "| dino ↑ | **{:.4f}** | {:.4f} | {:.4f} | {:.4f} |".format(*rows) in text
    assert "| dino ↑ | +0.2000 | +0.1500 … +0.2500 | yes, better |" in text
    pictures = re.findall(r"!\[(?:base|run)\]\(([^)]+)\)", text)
    assert len(pictures) == 20
    assert all((out.parent / path).is_file() for path in pictures)
    strip = re.findall(r"!\[(base|step-\d+), 0\]\(([^)]+)\)", text)
    assert [name for name, _ in strip] == ["base", *(f"step-{step:06d}" for step in STEPS)]
    assert all((out.parent / path).is_file() for _, path in strip)
    assert len(re.findall(r"dino [\d.]+, clip_t [\d.]+, nn_train [\d.]+", text)) == len(strip)


def test_report_shows_three_scores_under_each_picture_of_the_strip(report):
    film = report.read_text().split("One prompt, one seed, over training")[1].split("</section>")[0]
    captions = re.findall(r"<figcaption>.*?</figcaption>", film)
    assert len(captions) == 1 + len(STEPS)
    for caption in captions:
        assert re.findall(r'title="(\w+)"', caption) == ["dino", "clip_t", "nn_train"]


def test_report_leaves_the_numbers_of_every_chart(report):
    specs = checked_charts(report.read_text())
    files = {path.name for path in (report.parent / "figures").iterdir()}
    assert {name.split("-")[0] for name in files} == {name.split("-")[0] for name in specs}
    scatter = pd.read_csv(report.parent / "figures/scatter-path.csv")
    assert scatter["step"].tolist() == list(STEPS)


def test_what_is_no_chart_is_told_from_one(report):
    text = report.read_text()
    assert '"type": "bar"' in text
    with pytest.raises(ValidationError, match="bars"):
        checked_charts(text.replace('"type": "bar"', '"type": "bars"'))


def test_best_and_worst_images_are_those_of_the_scores(project):
    inputs = read_inputs(project)
    own = inputs.scores[(inputs.scores["variant"] == f"step-{SELECTED:06d}") & (inputs.scores["set"] == "test")]
    for ends in extreme_samples(inputs):
        ranked = own[own["metric"] == ends.metric].sort_values("value")
        labels = [f"{prompt} · {seed}" for prompt, seed in zip(ranked["prompt_id"], ranked["seed"], strict=True)]
        assert [picture.label for picture in ends.worst] == labels[:SHOWN_EXTREMES]
        assert [picture.label for picture in ends.best] == labels[::-1][:SHOWN_EXTREMES]


def test_heads_of_tables_name_the_model_unless_it_is_the_published_one(own_project, tmp_path):
    meta = own_project / "metrics/metrics_meta.json"
    quantities = described("tabletop", names=("dino",)) + described(names=("clip_t",))
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"quantities": quantities}))
    build_report(own_project, tmp_path / "report.html", facts())
    page, markdown = ((tmp_path / f"report.{kind}").read_text() for kind in ("html", "md"))
    heads = re.findall(r"<th[^>]*>(?:(?!</th>).)*", page, flags=re.DOTALL)
    for name in ("dino_tabletop", "dino_tabletop_train", "clip_t"):
        assert any(f"<code>{name}</code>" in head for head in heads)
        assert f"| {name} " in markdown
    assert not any(re.search(r"<code>dino(_train)?</code>|>dino ", head) for head in heads)
    assert "| dino ↑" not in markdown
    # nor do sentences, captions and charts; parameters and records of metric models have their own keys
    text = re.sub(r"(?s)<style.*?</style>|<script.*?</script>", "", page.partition('<section id="provenance"')[0])
    told = [re.sub(r"<[^>]+>", " ", text), markdown, *re.findall(r'"(?:title|metric)": ?"([^"]+)"', page)]
    assert json.dumps("dino_tabletop ↑").strip('"') in told
    assert not [words for words in told if re.search(r"(?<![\w/.-])dino(?![\w-])", words)]
