"""Whether a person is recognised: how like the faces are, where they are missing, and the images that have none."""

from dataclasses import dataclass

import altair as alt
import pandas as pd

from src.core.sets import TEST
from src.core.settings import Settings
from src.metrics.names import BASE, FACE_RATE, SIM_DETECTED
from src.reporting.charts import Row, Spec, paired_bars, paired_histogram
from src.reporting.inputs import Inputs
from src.reporting.pictures import Picture, manifest_pictures
from src.reporting.templating import Section
from src.reporting.texts import Texts

SHOWN_FACELESS = 24
PROMPT_PX = 24
# where details.json keeps what held-out photos score against each other
REAL_LEVEL = f"{SIM_DETECTED}_leave_one_out"


@dataclass(frozen=True)
class Faceless:
    """The selected checkpoint's test images without a face.

    Attributes:
        pictures: The first of them in the manifest's order, at most SHOWN_FACELESS.
        paths: Their files, below data/samples.
        count: How many there are.
        total: How many test images were looked at.
    """

    pictures: tuple[Picture, ...]
    paths: tuple[str, ...]
    count: int
    total: int


def section(inputs: Inputs, _params: Settings, texts: Texts) -> Section:
    """Builds the section."""
    return Section(
        {"faceless": faceless_samples(inputs)},
        {"identity": identity_histogram(inputs, texts), "face_rate": face_rate_chart(inputs, texts)},
    )


def faceless_samples(inputs: Inputs) -> Faceless | None:
    """Shows the test images of the selected checkpoint in which no face is found.

    Args:
        inputs: The tables.

    Returns:
        Pictures labelled with their prompts; None where identity was not computed.
    """
    rates = _test_scores(inputs, inputs.run_variant, FACE_RATE)
    if rates.empty:
        return None
    rows = inputs.manifest.merge(rates[["variant", "prompt_id", "seed", "value"]], on=["variant", "prompt_id", "seed"])
    missing = [row for _, row in rows[rows["value"] == 0].iterrows()]
    shown = missing[:SHOWN_FACELESS]
    pictures = manifest_pictures(inputs, shown, lambda row: str(row["prompt"]))
    return Faceless(tuple(pictures), tuple(str(row["path"]) for row in shown), len(missing), len(rates))


def identity_histogram(inputs: Inputs, texts: Texts) -> Spec | None:
    """Draws how like the faces of test images are to those of the held-out photos, run against base.

    Args:
        inputs: The tables.
        texts: The words.

    Returns:
        A specification, the level of held-out photos as a rule where there are several; None without any face.
    """
    shown = {"run": inputs.run_variant, "base": BASE}
    groups = {
        texts(f"series.{who}"): (f"var(--{who})", list(_test_scores(inputs, variant, SIM_DETECTED)["value"]))
        for who, variant in shown.items()
    }
    if not any(values for _, values in groups.values()):
        return None
    real = inputs.metrics["real"]
    level = [real[REAL_LEVEL]] if REAL_LEVEL in real else []
    return paired_histogram("images", groups, SIM_DETECTED, texts("axis.images"), level)


def face_rate_chart(inputs: Inputs, texts: Texts) -> Spec | None:
    """Draws, for each test prompt, the share of its images with a face, run against base.

    Args:
        inputs: The tables.
        texts: The words.

    Returns:
        A specification, the prompts in the manifest's order; None where identity was not computed.
    """
    shown = {texts("series.run"): inputs.run_variant, texts("series.base"): BASE}
    order = {prompt_id: place for place, prompt_id in enumerate(dict.fromkeys(inputs.manifest["prompt_id"]))}
    rows: list[Row] = [
        {"prompt": prompt_id, "who": who, "value": round(float(value), 4)}
        for who, variant in shown.items()
        for prompt_id, value in _test_scores(inputs, variant, FACE_RATE).groupby("prompt_id")["value"].mean().items()
    ]
    if not rows:
        return None
    rows.sort(key=lambda row: order[row["prompt"]])
    share = alt.X("value:Q", title=FACE_RATE, scale=alt.Scale(domain=[0, 1]))
    return paired_bars(rows, "prompt", list(shown), share, PROMPT_PX)


def _test_scores(inputs: Inputs, variant: str, metric: str) -> pd.DataFrame:
    scores = inputs.scores
    own = (scores["variant"] == variant) & (scores["set"] == TEST) & (scores["metric"] == metric)
    return scores[own].dropna(subset="value")
