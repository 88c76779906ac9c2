"""Whether photos are repeated: the images nearest to a training photo, and how near real photos are."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from src.metrics.names import NEAREST, REAL, REAL_QUANTILE, TEST
from src.reporting.charts import Spec
from src.reporting.histograms import paired_histogram
from src.reporting.inputs import Inputs, existing_image
from src.reporting.samples import SAMPLES, Picture
from src.reporting.texts import Texts
from src.reporting.thumbnails import SMALL_PX, encode_all, thumbnail

SHOWN_PAIRS = 8


@dataclass(frozen=True)
class Pair:
    """A drawn image beside the training photo that it is nearest to."""

    drawn: Picture
    photo: Picture


def nearest_pairs(inputs: Inputs) -> tuple[Pair, ...]:
    """Shows the test images of the selected checkpoint that are nearest to a training photo, the nearest first.

    Args:
        inputs: The tables.

    Returns:
        At most SHOWN_PAIRS pairs; none where `nn_train` was not computed.
    """
    key = ["variant", "prompt_id", "seed"]
    scores = _nearest_scores(inputs)
    if scores.empty:
        return ()
    photos = inputs.nearest.merge(inputs.manifest[[*key, "prompt", "path"]], on=key)
    rows = scores.merge(photos[[*key, "photo", "prompt", "path"]], on=key)
    rows = rows.sort_values(["value", "prompt_id", "seed"], ascending=[False, True, True]).head(SHOWN_PAIRS)
    drawn = [existing_image(inputs.root, f"{SAMPLES}/{path}", "generate") for path in rows["path"]]
    photo = [existing_image(inputs.root, f"data/crops/{name}.png", "crop") for name in rows["photo"]]
    sources = [encode_all(_small, paths) for paths in (drawn, photo)]
    return tuple(
        Pair(
            Picture(
                left,
                f"{row.prompt}, seed {row.seed}",
                f"{row.prompt_id} · {row.seed}",
                ((NEAREST, f"{row.value:.2f}"),),
            ),
            Picture(right, str(row.photo), str(row.photo)),
        )
        for row, left, right in zip(rows.itertuples(), *sources, strict=True)
    )


def _small(path: Path) -> str:
    return thumbnail(path, SMALL_PX)


def likeness_histogram(inputs: Inputs, texts: Texts) -> Spec | None:
    """Draws how near test images and held-out photos are to the training photos.

    Args:
        inputs: The tables.
        texts: The words.

    Returns:
        A specification; None where `nn_train` was not computed.
    """
    drawn = _nearest_scores(inputs)["value"]
    scores = inputs.scores
    real = scores[(scores["variant"] == REAL) & (scores["metric"] == NEAREST)]["value"].dropna()
    if drawn.empty or real.empty:
        return None
    groups = {
        texts("series.run"): ("var(--run)", list(drawn)),
        texts("series.real"): ("var(--real)", list(real)),
    }
    return paired_histogram("likeness", groups, NEAREST, texts("axis.images"), [float(real.quantile(REAL_QUANTILE))])


def _nearest_scores(inputs: Inputs) -> pd.DataFrame:
    scores = inputs.scores
    own = (scores["metric"] == NEAREST) & (scores["variant"] == inputs.run_variant) & (scores["set"] == TEST)
    return scores[own].dropna(subset="value")[["variant", "prompt_id", "seed", "value"]]
