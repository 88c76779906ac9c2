"""Whether photos are repeated: the images nearest to a training photo, how near real photos are, what few allow."""

from dataclasses import dataclass
from pathlib import Path

from src.core import layout
from src.core.sets import SUBJECT_ONLY, TEST
from src.core.settings import Settings
from src.metrics.copying_limits import (
    ENOUGH_PHOTOS,
    generated_scores,
    held_out_level,
    held_out_scores,
    largest_rank_z,
)
from src.metrics.copying_verdict import copying_verdict
from src.metrics.names import NEAREST
from src.reporting.charts import Spec, paired_histogram
from src.reporting.inputs import Inputs, existing_image
from src.reporting.pictures import SMALL_PX, Picture, encode_all, thumbnail
from src.reporting.templating import Section
from src.reporting.texts import Texts

SHOWN_PAIRS = 8
# beyond it a rank test's z is hardly chance
CHANCE_Z = 2


@dataclass(frozen=True)
class Pair:
    """A generated image beside the training photo that it is nearest to."""

    generated: Picture
    photo: Picture


@dataclass(frozen=True)
class CopyingFacts:
    """What the numbers of copying say, and how much so few images and photos let them say.

    Attributes:
        verdict: Whether photos are copied, in one sentence; empty where it was not measured.
        findings: What it stands on, and what is not looked for, a sentence each.
        figures: Label and value pairs.
        counts: The numbers of images and photos behind them, and what those do not allow.
        caption: Of the histogram; says what its dashed line is.
    """

    verdict: str
    findings: tuple[str, ...]
    figures: tuple[tuple[str, str], ...]
    counts: str
    caption: str


def section(inputs: Inputs, _params: Settings, texts: Texts) -> Section:
    """Builds the section."""
    return Section(
        {"copying": copying_facts(inputs, texts), "nearest": nearest_pairs(inputs)},
        {"likeness": likeness_histogram(inputs, texts)},
    )


def copying_facts(inputs: Inputs, texts: Texts) -> CopyingFacts:
    """Prints the numbers of copying beside what the numbers of images and photos allow.

    Args:
        inputs: The tables.
        texts: The words.

    Returns:
        No figures where `nn_train` was not computed.
    """
    photos = len(held_out_scores(inputs.scores, NEAREST))
    test, subject_only = (
        len(generated_scores(inputs.scores, NEAREST, inputs.run_variant, which)) for which in (TEST, SUBJECT_ONLY)
    )
    few = "_few" if photos < ENOUGH_PHOTOS else ""
    limit = f"{largest_rank_z(subject_only, photos):z.3f}"
    names = {
        name: texts(f"copying.{name}", metric=inputs.quantities.label(NEAREST)) for name in ("nn_train_p95", "meehan_z")
    }
    names["share_over_real"] = texts(f"copying.share_over_real{few}")
    found = inputs.metrics.get("copying", {})
    parts = [texts("copying.counts", test=test, subject_only=subject_only, photos=photos)]
    parts += [texts("copying.few", enough=ENOUGH_PHOTOS)] if few else []
    parts += [texts("copying.reach", limit=limit)] if "meehan_z" in found else []
    verdict, findings = _verdict(inputs, texts)
    return CopyingFacts(
        verdict=verdict,
        findings=findings,
        figures=tuple((names[name], _shown(name, value, texts)) for name, value in found.items()),
        counts=" ".join(parts),
        caption=f"{texts('copying.histogram')} {texts(f'copying.level{few}')}",
    )


def _verdict(inputs: Inputs, texts: Texts) -> tuple[str, tuple[str, ...]]:
    compared = copying_verdict(inputs.scores, inputs.run_variant)
    if compared is None:
        return "", ()
    said, findings = compared
    sentences = []
    for one in findings:
        shares = {name: f"{getattr(one, name):.0%}" for name in ("low", "high", "limit")}
        sentences.append(texts(f"copying.finding.{one.kind}", count=one.count, total=one.total, **shares))
        if one.blind:
            sentences.append(texts("copying.finding.blind"))
    return texts(f"copying.verdict.{said.value}"), (*sentences, texts("copying.unseen"))


def _shown(name: str, value: float, texts: Texts) -> str:
    if name != "meehan_z":
        return f"{value:z.3f}"
    where = "nearer" if value < -CHANCE_Z else "farther" if value > CHANCE_Z else "alike"
    return texts(f"copying.z.{where}", value=f"{value:+z.1f}")


def nearest_pairs(inputs: Inputs) -> tuple[Pair, ...]:
    """Shows the test images of the selected checkpoint that are nearest to a training photo, the nearest first.

    Args:
        inputs: The tables.

    Returns:
        At most SHOWN_PAIRS pairs; none where `nn_train` was not computed.
    """
    key, label = ["variant", "prompt_id", "seed"], inputs.quantities.label
    scores = generated_scores(inputs.scores, NEAREST, inputs.run_variant, TEST)[[*key, "value"]]
    if scores.empty:
        return ()
    photos = inputs.nearest.merge(inputs.manifest[[*key, "prompt", "path"]], on=key)
    rows = scores.merge(photos[[*key, "photo", "prompt", "path"]], on=key)
    rows = rows.sort_values(["value", "prompt_id", "seed"], ascending=[False, True, True]).head(SHOWN_PAIRS)
    generated = [existing_image(inputs.root, layout.SAMPLES / path, "generate") for path in rows["path"]]
    photo = [existing_image(inputs.root, layout.CROPS / f"{name}.png", "crop") for name in rows["photo"]]
    sources = [encode_all(_small, paths) for paths in (generated, photo)]
    return tuple(
        Pair(
            Picture(
                left,
                f"{row.prompt}, seed {row.seed}",
                f"{row.prompt_id} · {row.seed}",
                ((label(NEAREST), f"{row.value:z.2f}"),),
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
    generated = generated_scores(inputs.scores, NEAREST, inputs.run_variant, TEST)["value"]
    real, label = held_out_scores(inputs.scores, NEAREST), inputs.quantities.label
    if generated.empty or not len(real):
        return None
    groups = {
        texts("series.run"): ("var(--run)", list(generated)),
        texts("series.real"): ("var(--real)", list(real)),
    }
    return paired_histogram("likeness", groups, label(NEAREST), texts("axis.images"), [held_out_level(real)])
