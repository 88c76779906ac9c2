"""What a metric is: from samples and reference photos to one score per image and quantity."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from src.core.errors import MetricError
from src.core.sets import GENERATED_SETS
from src.features.store import FeatureStore, ImageFile, MetricModel
from src.metrics.quantities import Quantity

ReferenceSet = Literal["val", "train", "none"]
# why a held-out photo is compared with no other
ALONE = "no held-out photo of another group of near duplicates to compare with"
# a cosine is at most 1 up to rounding
SLACK = 1e-9


@dataclass(frozen=True)
class Sample:
    """One image to score.

    Attributes:
        variant: ``base``, ``step-NNNNNN``, ``real`` (a held-out photo) or ``copy`` (a training photo posing as one);
            both also ``(autoencoder)``.
        prompt_id: Images of one prompt are averaged first.
        set: One of DRAWN_SETS, or ``none`` for real photos.
        group: The prompt's group.
        seed: Counts the images of one prompt.
        text: The prompt without the rare token.
        image: The file.
    """

    variant: str
    prompt_id: str
    set: str
    group: str
    seed: int
    text: str
    image: ImageFile


@dataclass(frozen=True)
class References:
    """The photos that samples are compared with.

    Attributes:
        val: Held out.
        train: Trained on.
        groups: The near-duplicate group of each held-out photo.
        decoded: Both sides, `val` before `train`, through the base model's autoencoder; empty where nobody asks for
            copying.
    """

    val: tuple[ImageFile, ...]
    train: tuple[ImageFile, ...]
    groups: tuple[str, ...]
    decoded: tuple[ImageFile, ...] = ()

    @property
    def val_decoded(self) -> tuple[ImageFile, ...]:
        """The held-out photos through the autoencoder."""
        return self.decoded[: len(self.val)]

    @property
    def train_decoded(self) -> tuple[ImageFile, ...]:
        """The photos trained on through the autoencoder."""
        return self.decoded[len(self.val) :]

    def others(self, photo: ImageFile) -> list[int]:
        """Returns the rows of `val` that are not of a held-out photo's own group: near duplicates tell nothing."""
        photos = [*zip(self.val, self.groups, strict=True), *zip(self.val_decoded, self.groups, strict=False)]
        own = {group for file, group in photos if file.sha256 == photo.sha256}
        return [row for row, group in enumerate(self.groups) if group not in own]


@dataclass(frozen=True)
class Score:
    """One number of one image, or the reason why there is none."""

    sample: Sample
    metric: str
    references: ReferenceSet
    value: float | None
    reason: str


class Metric(Protocol):
    """Scores images; chosen by name in `inference_metrics`.

    Attributes:
        name: Its key.
        sets: The sets of samples that it looks at.
    """

    name: str
    sets: Sequence[str]

    @property
    def model(self) -> MetricModel[Any] | None:
        """The model that it asks, None where it needs none."""

    def quantities(self) -> Sequence[Quantity]:
        """Says what numbers it writes, and what they mean."""

    def score(self, samples: Sequence[Sample], references: References, store: FeatureStore) -> list[Score]:
        """Returns at least one row per sample and quantity."""


def models_of(metrics: Sequence[Metric]) -> dict[str, MetricModel[Any]]:
    """Returns the model of each metric that asks one, by the metric's name."""
    return {metric.name: metric.model for metric in metrics if metric.model is not None}


def check_models(metrics: Sequence[Metric]) -> None:
    """Checks that the models of metrics are here, before anything is scored.

    Args:
        metrics: The chosen metrics.

    Raises:
        MissingModelError: One is not on this machine.
        ModelMismatchError: One is not what the configuration says.
    """
    for model in models_of(metrics).values():
        model.check()


def score_images(metric: Metric, samples: Sequence[Sample], references: References, store: FeatureStore) -> list[Score]:
    """Scores those images that a metric looks at, and checks that its numbers are what it says.

    Args:
        metric: The metric.
        samples: Of any set.
        references: The photos.
        store: Computes features.

    Returns:
        What the metric returns.

    Raises:
        MetricError: There are no generated images for it, one cannot be scored, or a number is outside of its range:
            then it is something else, for example a logit instead of a cosine.
    """
    looked_at = [sample for sample in samples if sample.set in metric.sets]
    if not any(sample.set in GENERATED_SETS for sample in looked_at):
        raise MetricError(
            f"{metric.name}: there are no images of its prompt sets ({', '.join(metric.sets)}); generate some "
            "(validation_args.num_subject_only_images for class-only and subject-only, num_unrelated_images), "
            "or take it out of inference_metrics"
        )
    scores = metric.score(looked_at, references, store)
    ranges = {quantity.name: (quantity.low, quantity.high) for quantity in metric.quantities()}
    for score in scores:
        if score.metric not in ranges:
            raise MetricError(f"{metric.name}: scores {score.metric}, which is none of its quantities {list(ranges)}")
        low, high = ranges[score.metric]
        if score.value is not None and not (math.isfinite(score.value) and low - SLACK <= score.value <= high + SLACK):
            found = f"expected {score.metric} in [{low:g}, {high:g}], found {score.value}"
            raise MetricError(f"{score.sample.image.path}: {found}")
    return scores
