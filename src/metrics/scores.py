"""The metrics: from samples and reference photos to one score per image, each defined where it is computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from src.core.errors import MetricError
from src.features.lpips import LpipsTower, mean_distances
from src.features.store import Features, FeatureStore, ImageFile, ImageTower, Judge, TextTower
from src.metrics.names import HELD_OUT_ROWS

ReferenceSet = Literal["val", "train", "none"]
# why a held-out photo is compared with no other
ALONE = "no held-out photo of another group of near duplicates to compare with"
# a cosine is at most 1 up to rounding
COSINE_SLACK = 1e-9


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
        judge: Its model.
    """

    name: str
    sets: Sequence[str]
    judge: Judge[ImageTower] | Judge[TextTower] | Judge[LpipsTower]

    def score(self, samples: Sequence[Sample], references: References, store: FeatureStore) -> list[Score]:
        """Returns at least one row per sample."""


@dataclass
class ImageSimilarity:
    """Mean cosine between an image and every reference photo (DreamBooth, Ruiz et al., 2022, arXiv:2208.12242, 4.1).

    A held-out photo is compared with the training photos, and with the held-out photos of other groups of near
    duplicates, so never with itself: the pair of 1.0 would raise the ceiling by 0.06 at five photos. On images of the
    class alone this is PRES (ibid., 4.3): the higher, the more the class has become the subject.

    Attributes:
        name: The metric's key; names the model.
        sets: The sets of samples that it looks at.
        judge: The model that embeds images.
    """

    name: str
    sets: Sequence[str]
    judge: Judge[ImageTower]

    def score(self, samples: Sequence[Sample], references: References, store: FeatureStore) -> list[Score]:
        """Scores every sample against the held-out and against the training photos, apart.

        Args:
            samples: At least one.
            references: At least one photo on each side.
            store: Computes features.

        Returns:
            Two rows per sample; a held-out photo without another to be compared with has a reason instead.

        Raises:
            MetricError: There are no images, or one cannot be embedded.
        """
        drawn = [sample for sample in samples if sample.variant not in HELD_OUT_ROWS]
        real = [sample for sample in samples if sample.variant in HELD_OUT_ROWS]
        val, train = store.embed_images(self.judge, references.val), store.embed_images(self.judge, references.train)
        scores = []
        if drawn:
            features = store.embed_images(self.judge, [sample.image for sample in drawn])
            scores += self._rows(drawn, "val", mean_similarity(features, val))
            scores += self._rows(drawn, "train", mean_similarity(features, train))
        if real:
            features = store.embed_images(self.judge, [sample.image for sample in real])
            scores += self._rows(real, "train", mean_similarity(features, train))
            scores += [
                self._to_others(sample, feature, val[references.others(sample.image)])
                for sample, feature in zip(real, features, strict=True)
            ]
        return scores

    def _to_others(self, sample: Sample, feature: Features, others: Features) -> Score:
        if not len(others):
            return Score(sample, self.name, "val", None, ALONE)
        return self._rows([sample], "val", mean_similarity(feature[None], others))[0]

    def _rows(self, samples: Sequence[Sample], references: ReferenceSet, values: Features) -> list[Score]:
        return [
            Score(sample, self.name, references, checked_cosine(float(value), sample), "")
            for sample, value in zip(samples, values, strict=True)
        ]


@dataclass
class TextSimilarity:
    """Cosine between an image and its prompt without the rare token, raw: not x100, not CLIPScore's 2.5 max(cos, 0).

    The rare token is noise in CLIP's vocabulary; the class noun stays (Textual Inversion, Gal et al.,
    2022, arXiv:2208.01618, removes it too).

    Attributes:
        name: The metric's key.
        sets: The sets of samples that it looks at.
        judge: The model that embeds images and texts.
    """

    name: str
    sets: Sequence[str]
    judge: Judge[TextTower]

    def score(self, samples: Sequence[Sample], references: References, store: FeatureStore) -> list[Score]:  # noqa: ARG002
        """Scores every sample against its own text.

        Args:
            samples: At least one.
            references: Not used; the text is the reference.
            store: Computes features.

        Returns:
            One row per sample.

        Raises:
            MetricError: A text is over the model's limit, or an image cannot be embedded.
        """
        texts = store.embed_texts(self.judge, [sample.text for sample in samples])
        images = store.embed_images(self.judge, [sample.image for sample in samples])
        values = np.sum(texts * images, axis=1)
        return [
            Score(sample, self.name, "none", checked_cosine(float(value), sample), "")
            for sample, value in zip(samples, values, strict=True)
        ]


@dataclass
class Diversity:
    """Mean LPIPS distance between an image and the others of its prompt, the higher the more diverse.

    The mean over a prompt's S images is the mean over its S(S-1)/2 pairs (DreamBooth, arXiv:2208.12242, 4.3 "DIV").
    Where each test prompt has one image, the images of the subject alone (prompt set ``bare``) are what is reported.

    Attributes:
        name: The metric's key.
        sets: The sets of samples that it looks at.
        judge: The model that compares images.
    """

    name: str
    sets: Sequence[str]
    judge: Judge[LpipsTower]

    def score(self, samples: Sequence[Sample], references: References, store: FeatureStore) -> list[Score]:  # noqa: ARG002
        """Scores every sample against the others of the same variant and prompt.

        Args:
            samples: At least one.
            references: Not used.
            store: Loads the judge.

        Returns:
            One row per sample; the only image of its prompt has a reason instead of a value.

        Raises:
            MetricError: An image cannot be read, or a distance is NaN or infinite.
        """
        prompts: dict[tuple[str, str], list[Sample]] = {}
        for sample in samples:
            prompts.setdefault((sample.variant, sample.prompt_id), []).append(sample)
        tower = store.tower(self.judge)
        groups = list(prompts.values())
        means = store.map(lambda group: mean_distances(tower, [sample.image for sample in group]), groups)
        return [
            self._row(sample, value)
            for group, values in zip(groups, means, strict=True)
            for sample, value in zip(group, values, strict=True)
        ]

    def _row(self, sample: Sample, value: float | None) -> Score:
        if value is None:
            return Score(sample, self.name, "none", None, "the only image of its prompt: no pair to compare")
        if not np.isfinite(value):
            raise MetricError(f"{sample.image.path}: {self.name} is {value}")
        return Score(sample, self.name, "none", value, "")


def mean_similarity(features: Features, references: Features) -> Features:
    """Returns each row's mean cosine with the references.

    Args:
        features: Unit vectors, shape (N, D).
        references: Unit vectors, shape (R, D).

    Returns:
        Shape (N,).

    Raises:
        MetricError: One side is empty.
    """
    if not len(features) or not len(references):
        raise MetricError(f"a similarity of {len(features)} images with {len(references)} references is undefined")
    means: Features = (features @ references.T).mean(axis=1)
    return means


def checked_cosine(value: float, sample: Sample) -> float:
    """Checks that a number is a cosine.

    Args:
        value: The number.
        sample: What it describes.

    Returns:
        The number.

    Raises:
        MetricError: It is outside [-1, 1] or not finite: then it is something else, for example a logit.
    """
    if not abs(value) <= 1 + COSINE_SLACK:
        raise MetricError(f"{sample.image.path}: expected a cosine in [-1, 1], found {value}")
    return value
