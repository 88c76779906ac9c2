"""What a page says first: no more than the intervals bear out, and the same in every place."""

import json
import re

import pytest

from src.reporting.page import build_report
from src.reporting.sections import summary
from src.reporting.texts import load_texts
from tests.metrics.quantities import QUANTITIES
from tests.reporting.project import facts

EN, RU = load_texts("en"), load_texts("ru")


def conclude(found, reached, texts):
    return summary.conclude(found, reached, QUANTITIES, texts)


def interval(mean, low, high):
    return {"mean": mean, "low": low, "high": high}


# photos that the base model cannot do, as they were tried
UNLEARNED = {"dino": interval(0.051, -0.005, 0.117), "clip_t": interval(-0.155, -0.2, -0.1)}
LEARNED = {"dino": interval(0.359, 0.306, 0.406), "clip_t": interval(-0.028, -0.06, 0.006)}
CASES = {
    "gain": (
        LEARNED,
        "The subject was learned: likeness (dino) rose by 0.359 (0.306 to 0.406). "
        "Prompt fidelity (clip_t) did not measurably change: -0.028 (-0.060 to +0.006).",
    ),
    "no measurable gain, a loss": (
        UNLEARNED,
        "The run did not measurably learn the subject: likeness (dino) changed by +0.051 (-0.005 to +0.117), "
        "which may be chance. Prompt fidelity (clip_t) fell by 0.155 (0.100 to 0.200).",
    ),
    "both": (
        {"dino": interval(0.2, 0.1, 0.3), "clip_t": interval(-0.1, -0.15, -0.05)},
        "The subject was learned: likeness (dino) rose by 0.200 (0.100 to 0.300). "
        "Prompt fidelity (clip_t) fell by 0.100 (0.050 to 0.150).",
    ),
    "a loss of likeness": (
        {"dino": interval(-0.2, -0.3, -0.1), "clip_t": interval(0.1, 0.05, 0.15)},
        "The subject was not learned: likeness (dino) fell by 0.200 (0.100 to 0.300). "
        "Prompt fidelity (clip_t) rose by 0.100 (0.050 to 0.150).",
    ),
    "0.0036": (
        {"dino": interval(0.0036, -0.001, 0.008)},
        "The run did not measurably learn the subject: likeness (dino) changed by +0.004 (-0.001 to +0.008), "
        "which may be chance. Prompt fidelity was not measured: clip_t has no interval.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_first_sentences_come_from_the_intervals(case):
    found, said = CASES[case]
    assert conclude(found, {}, EN) == said


def test_the_share_of_what_the_model_could_generate_follows_the_likeness():
    said = conclude(LEARNED, {"dino": 0.7627, "clip_i": 0.9}, EN)
    assert "The run reaches 76% of the dino that the subject itself has as this model could generate it." in said
    assert said.index("likeness (dino)") < said.index("76%") < said.index("(clip_t)")
    assert "76%" not in conclude(LEARNED | {"id_sim_all": interval(0.01, -0.02, 0.04)}, {"dino": 0.7627}, EN)
    assert "76% значения dino" in conclude(LEARNED, {"dino": 0.7627}, RU)


def test_a_person_is_concluded_about_by_identity():
    found = LEARNED | {"id_sim_all": interval(0.01, -0.02, 0.04)}
    assert conclude(found, {}, EN).startswith("The run did not measurably learn the subject: likeness (id_sim_all)")


def test_other_losses_are_told_and_other_gains_are_not():
    found = LEARNED | {
        "div_lpips": interval(-0.067, -0.108, -0.03),
        "clip_i": interval(0.139, 0.106, 0.169),
        "pres": interval(0.194, 0.006, 0.382),
        "nn_train": interval(0.399, 0.344, 0.46),
    }
    assert conclude(found, {}, EN).endswith("Also measurably worse: div_lpips (-0.067), pres (+0.194).")


@pytest.mark.parametrize(("found", "learned"), [(LEARNED, True), (UNLEARNED, False)])
def test_page_and_markdown_conclude_alike_and_colour_by_the_same_rule(own_project, tmp_path, found, learned):
    path = own_project / "metrics/details.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"against_base": found}))
    for texts in (EN, RU):
        out = tmp_path / texts.language / "report.html"
        build_report(own_project, out, facts(texts.language))
        page, markdown = out.read_text(), out.with_suffix(".md").read_text()
        (lead,) = re.findall(r'<p class="lead">(.*?)</p>', page)
        assert lead == conclude(found, {}, texts)
        assert markdown.splitlines()[2] == lead
        assert "taught" not in page
    coloured = set(re.findall(r'<td class="(better|worse)"', page))
    assert coloured == ({"better"} if learned else {"worse"})
    subject = re.search(r"\| dino ↑ \| (.*?) \|", markdown)[1]
    assert subject.startswith("**") is learned
