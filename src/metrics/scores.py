"""Likeness to the subject, fidelity to the prompt, and diversity; each defined where it is computed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from src.core.errors import MetricError
from src.core.sets import DEV, PHOTOS, SUBJECT_ONLY, TEST
from src.features.lpips import LpipsExtractor, mean_distances
from src.features.store import Features, FeatureStore, ImageExtractor, MetricModel, TextExtractor
from src.metrics.base import ALONE, References, ReferenceSet, Sample, Score
from src.metrics.names import HELD_OUT_ROWS
from src.metrics.quantities import Quantity


@dataclass
class ImageSimilarity:
    """Mean cosine between an image and every reference photo (DreamBooth, Ruiz et al., 2022, arXiv:2208.12242, 4.1).

    A held-out photo is compared with the training photos, and with the held-out photos of other groups of near
    duplicates, so never with itself: the pair of 1.0 would raise the ceiling by 0.06 at five photos. On images of the
    class alone it is PRES, see `src.metrics.drift`.

    Attributes:
        name: The metric's key.
        model: The model that embeds images.
        sets: The sets of samples that it looks at.
    """

    name: str
    model: MetricModel[ImageExtractor]
    sets: Sequence[str] = (DEV, TEST, PHOTOS)

    def quantities(self) -> list[Quantity]:
        """Returns the mean cosine."""
        return [Quantity(self.name, True, -1, 1, likeness=True).by(self.model)]

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
        generated = [sample for sample in samples if sample.variant not in HELD_OUT_ROWS]
        real = [sample for sample in samples if sample.variant in HELD_OUT_ROWS]
        val, train = store.embed_images(self.model, references.val), store.embed_images(self.model, references.train)
        scores = []
        if generated:
            features = store.embed_images(self.model, [sample.image for sample in generated])
            scores += self._rows(generated, "val", mean_similarity(features, val))
            scores += self._rows(generated, "train", mean_similarity(features, train))
        if real:
            features = store.embed_images(self.model, [sample.image for sample in real])
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
            Score(sample, self.name, references, float(value), "")
            for sample, value in zip(samples, values, strict=True)
        ]


@dataclass
class TextSimilarity:
    """Cosine between an image and its prompt without the rare token, raw: not x100, not CLIPScore's 2.5 max(cos, 0).

    The rare token is noise in CLIP's vocabulary; the class noun stays (Textual Inversion, Gal et al.,
    2022, arXiv:2208.01618, removes it too).

    Attributes:
        name: The metric's key.
        model: The model that embeds images and texts.
        sets: The sets of samples that it looks at.
    """

    name: str
    model: MetricModel[TextExtractor]
    sets: Sequence[str] = (DEV, TEST, PHOTOS)

    def quantities(self) -> list[Quantity]:
        """Returns the cosine."""
        return [Quantity(self.name, True, -1, 1).by(self.model)]

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
        texts = store.embed_texts(self.model, [sample.text for sample in samples])
        images = store.embed_images(self.model, [sample.image for sample in samples])
        values = np.sum(texts * images, axis=1)
        return [
            Score(sample, self.name, "none", float(value), "") for sample, value in zip(samples, values, strict=True)
        ]


@dataclass
class Diversity:
    """Mean LPIPS distance between an image and the others of its prompt, the higher the more diverse.

    The mean over a prompt's S images is the mean over its S(S-1)/2 pairs (DreamBooth, arXiv:2208.12242, 4.3 "DIV").
    Where each test prompt has one image, the images of the subject alone (prompt set ``subject-only``) are what is
    reported.

    Attributes:
        name: The metric's key.
        model: The model that compares images.
        sets: The sets of samples that it looks at.
    """

    name: str
    model: MetricModel[LpipsExtractor]
    sets: Sequence[str] = (DEV, TEST, SUBJECT_ONLY, PHOTOS)

    def quantities(self) -> list[Quantity]:
        """Returns the mean distance."""
        return [Quantity(self.name, True, 0).by(self.model)]

    def score(self, samples: Sequence[Sample], references: References, store: FeatureStore) -> list[Score]:  # noqa: ARG002
        """Scores every sample against the others of the same variant and prompt.

        Args:
            samples: At least one.
            references: Not used.
            store: Loads the metric model.

        Returns:
            One row per sample; the only image of its prompt has a reason instead of a value.

        Raises:
            MetricError: An image cannot be read, or a distance is NaN or infinite.
        """
        prompts: dict[tuple[str, str], list[Sample]] = {}
        for sample in samples:
            prompts.setdefault((sample.variant, sample.prompt_id), []).append(sample)
        extractor = store.extractor(self.model)
        groups = list(prompts.values())
        means = store.map(lambda group: mean_distances(extractor, [sample.image for sample in group]), groups)
        return [
            self._row(sample, value)
            for group, values in zip(groups, means, strict=True)
            for sample, value in zip(group, values, strict=True)
        ]

    def _row(self, sample: Sample, value: float | None) -> Score:
        if value is None:
            return Score(sample, self.name, "none", None, "the only image of its prompt: no pair to compare")
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
