"""The section on copying: the nearest pairs, and no more said than the numbers of images and photos allow."""

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest

from src.reporting.inputs import read_inputs
from src.reporting.page import build_report
from src.reporting.sections.copying import SHOWN_PAIRS, copying_facts, likeness_histogram, nearest_pairs
from src.reporting.texts import load_texts
from tests.reporting.project import facts

TEXTS = load_texts("en")


@pytest.fixture(scope="module")
def tables(project):
    return read_inputs(project)


def with_held_out(tables, likeness):
    """The same tables with held-out photos of these likenesses to the nearest training photo."""
    generated = tables.scores[(tables.scores["metric"] != "nn_train") | (tables.scores["variant"] != "real")]
    real = pd.DataFrame({"value": likeness}).assign(
        variant="real", prompt_id="held-out", set="none", group="none", metric="nn_train", references="none", reason=""
    )
    real["seed"] = [str(number) for number in range(len(real))]
    return dataclasses.replace(tables, scores=pd.concat([generated, real]))


def level(tables):
    layers = likeness_histogram(tables, TEXTS)["layer"]
    return next(layer["data"]["values"][0]["at"] for layer in layers if layer["data"]["name"] == "level")


def test_nearest_pairs_are_the_highest_beside_their_photos(tables):
    pairs = nearest_pairs(tables)
    shown = [float(pair.generated.scores[0][1]) for pair in pairs]
    assert len(pairs) == SHOWN_PAIRS
    assert shown == sorted(shown, reverse=True)
    scores = tables.scores
    own = scores[(scores["metric"] == "nn_train") & (scores["variant"] == "step-000200") & (scores["set"] == "test")]
    assert shown[0] == pytest.approx(own["value"].max(), abs=0.006)
    assert {pair.photo.label for pair in pairs} == {tables.nearest["photo"].iloc[0]}


def test_without_nn_train_nothing_is_said_about_copying(tables):
    without = dataclasses.replace(tables, scores=tables.scores[tables.scores["metric"] != "nn_train"])
    assert nearest_pairs(without) == ()
    assert likeness_histogram(without, load_texts("en")) is None


def test_few_photos_make_no_statement_about_99_percent(tables):
    few = copying_facts(tables, TEXTS)
    assert "Too few held-out photos to say where 99 % of them lie (that takes about 100)" in few.counts
    assert few.caption.endswith("Dashed: the largest held-out likeness.")
    assert ("share nearer than every held-out photo", "0.125") in few.figures
    assert level(tables) == pytest.approx(0.6)
    many = with_held_out(tables, np.linspace(0.5, 0.7, 100))
    facts = copying_facts(many, TEXTS)
    assert "Too few" not in facts.counts
    assert facts.caption.endswith("Dashed: 99 % of the held-out photos lie to the left of it or on it.")
    assert ("share nearer than 99 % of held-out photos", "0.125") in facts.figures
    assert 0.69 < level(many) < 0.7


@pytest.mark.parametrize(
    ("z", "said"),
    [
        (-2.25, "nearer to training photos, as copies are (-2.2)"),
        (0.4, "no difference shown (+0.4)"),
        (2.9277, "farther from training photos (+2.9)"),
    ],
)
def test_z_is_said_in_words_beside_what_it_can_reach(tables, z, said):
    facts = copying_facts(dataclasses.replace(tables, metrics=tables.metrics | {"copying": {"meehan_z": z}}), TEXTS)
    assert [value for _, value in facts.figures] == [said]
    assert "Counted: 40 test images, 8 images of the subject alone, 3 held-out photos." in facts.counts
    # sqrt(3 * 8 * 3 / 12)
    assert "it lies between -2.449 and 2.449" in facts.counts
    without = dataclasses.replace(tables, metrics=tables.metrics | {"copying": {"nn_train_p95": 0.6}})
    assert "it lies between" not in copying_facts(without, TEXTS).counts


def test_page_and_markdown_say_how_much_the_numbers_of_copying_can_say(own_project, tmp_path):
    out = tmp_path / "report/r.html"
    build_report(own_project, out, facts())
    for text in (out.read_text(), out.with_suffix(".md").read_text()):
        assert "Counted: 40 test images, 8 images of the subject alone, 3 held-out photos." in text
        assert "nearer to training photos, as copies are (-2.2)" in text
        assert "99 % of the held-out photos lie" not in text


@pytest.mark.parametrize(("parts", "key"), [(0.5, "no_sign"), (0.99, "copies")])
def test_the_section_opens_with_the_verdict_and_what_is_not_looked_for(project, tables, tmp_path, parts, key):
    own = tables.scores[(tables.scores["metric"] == "nn_train") & (tables.scores["set"] == "test")]
    scores = pd.concat([tables.scores, own.assign(metric="part_train", value=parts)])
    found = copying_facts(dataclasses.replace(tables, scores=scores), TEXTS)
    assert found.verdict == TEXTS(f"copying.verdict.{key}")
    assert any(f"{40 if key == 'copies' else 0} of 40 test images have a part" in line for line in found.findings)
    assert found.findings[-1] == TEXTS("copying.unseen")
    scores.to_csv(tmp_path / "scores.csv", index=False)
    copied = tmp_path / "project"
    shutil.copytree(project, copied)
    shutil.copy(tmp_path / "scores.csv", copied / "metrics/scores.csv")
    for language in ("en", "ru"):
        texts = load_texts(language)
        build_report(copied, tmp_path / language / "report.html", facts(language))
        for name in ("report.html", "report.md"):
            page = (tmp_path / language / name).read_text()
            section = page[page.rindex(texts("copying.title")) :]
            assert texts(f"copying.verdict.{key}") in section
            assert section.index(texts(f"copying.verdict.{key}")) < section.index(
                texts("copying.nn_train_p95", metric="nn_train")
            )
