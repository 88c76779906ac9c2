"""Whether a model repeats the photos it was trained on instead of showing the subject anew."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import comb
from scipy.stats import mannwhitneyu

from src.core.sets import DEV, PHOTOS, SUBJECT_ONLY, TEST
from src.features.store import Features, FeatureStore, ImageExtractor, ImageFile, MetricModel
from src.metrics.base import ALONE, Metric, References, Sample, Score
from src.metrics.copied_parts import part_likeness
from src.metrics.copying_limits import generated_scores, held_out_level, held_out_scores
from src.metrics.names import GAP, HELD_OUT_ROWS, NEAREST, PART
from src.metrics.quantities import Quantity


@dataclass
class TrainingLikeness:
    """Likeness to the nearest training photo, and by how much it exceeds that to the nearest held-out photo.

    A maximum over more photos is larger by itself, so both sides are expected maxima over random subsets of the size
    of the smaller side, exactly and without drawing any. A model that has learnt the subject has a gap near zero; one
    that repeats its training photos has a gap above. A generated image has passed the autoencoder's decoder and a photo
    has not, so its likeness to a photo is the larger of those to the photo and to what the autoencoder makes of it.

    Attributes:
        name: The key of the nearest likeness; the gap is called GAP, likeness of parts PART.
        model: The model that embeds images.
        sets: The sets of samples that it looks at.
    """

    name: str
    model: MetricModel[ImageExtractor]
    sets: Sequence[str] = (DEV, TEST, SUBJECT_ONLY, PHOTOS)

    def quantities(self) -> list[Quantity]:
        """Returns likeness, gap and likeness of parts: none has a better side, a gap far below 0 is no merit."""
        return [
            Quantity(self.name, None, -1, 1).by(self.model),
            Quantity(GAP, None, -2, 2).by(self.model),
            Quantity(PART, None, -1, 1),
        ]

    def score(self, samples: Sequence[Sample], references: References, store: FeatureStore) -> list[Score]:
        """Scores every sample; a held-out photo is compared with the held-out photos of other groups.

        Args:
            samples: At least one.
            references: At least one photo on each side.
            store: Computes features.

        Returns:
            Three rows per sample: likeness, gap and PART, see `part_likeness`; the gap of a held-out photo without
            another has a reason instead of a value.

        Raises:
            MetricError: There are no images, or one cannot be embedded.
        """
        features = store.embed_images(self.model, [sample.image for sample in samples])
        train = likeness_to(store, self.model, (references.train, references.train_decoded), features)
        val = likeness_to(store, self.model, (references.val, references.val_decoded), features)
        files = [sample.image for sample in samples]
        parts = part_likeness(files, (*references.train, *references.train_decoded))
        scores = [Score(sample, PART, "none", float(value), "") for sample, value in zip(samples, parts, strict=True)]
        for sample, to_train, to_val in zip(samples, train, val, strict=True):
            nearest = float(to_train.max())
            scores.append(Score(sample, self.name, "none", nearest, ""))
            if sample.variant in HELD_OUT_ROWS:
                to_val = to_val[references.others(sample.image)]
            scores.append(self._gap(sample, to_train, to_val))
        return scores

    def _gap(self, sample: Sample, to_train: Features, to_val: Features) -> Score:
        if not len(to_val):
            return Score(sample, GAP, "none", None, ALONE)
        size = min(len(to_train), len(to_val))
        return Score(sample, GAP, "none", expected_maximum(to_train, size) - expected_maximum(to_val, size), "")


def nearest_table(
    metrics: Sequence[Metric], samples: Sequence[Sample], references: References, store: FeatureStore
) -> pd.DataFrame:
    """Names the training photo that each generated image is nearest to.

    Args:
        metrics: The chosen metrics; only a TrainingLikeness tells.
        samples: Generated images.
        references: The photos.
        store: Has their features.

    Returns:
        One row per image and TrainingLikeness: variant, prompt_id, set, seed, photo.
    """
    rows = []
    for metric in (one for one in metrics if isinstance(one, TrainingLikeness)):
        looked_at = [sample for sample in samples if sample.set in metric.sets]
        features = store.embed_images(metric.model, [sample.image for sample in looked_at])
        sides = references.train, references.train_decoded
        nearest = likeness_to(store, metric.model, sides, features).argmax(axis=1)
        rows += [
            (sample.variant, sample.prompt_id, sample.set, sample.seed, references.train[photo].path.stem)
            for sample, photo in zip(looked_at, nearest, strict=True)
        ]
    return pd.DataFrame(rows, columns=["variant", "prompt_id", "set", "seed", "photo"])


def likeness_to(
    store: FeatureStore, model: MetricModel[ImageExtractor], sides: Sequence[Sequence[ImageFile]], features: Features
) -> Features:
    """Compares images with photos, and with the photos through the autoencoder where there is that.

    Args:
        store: Computes features.
        model: The model that embeds images.
        sides: The R photos, and the same through the autoencoder or nothing.
        features: Of N images, (N, D), unit vectors.

    Returns:
        Cosines, (N, R), the larger of both.
    """
    cosines = [features @ store.embed_images(model, files).T for files in sides if files]
    nearest: Features = np.max(cosines, axis=0)
    return nearest


def expected_maximum(values: NDArray[np.float64], size: int) -> float:
    """Computes the mean over all subsets of their maximum.

    Args:
        values: (N,).
        size: Of a subset, from 1 to N.

    Returns:
        The mean: the i-th smallest value is the maximum of comb(i - 1, size - 1) subsets.
    """
    ranks = np.arange(1, len(values) + 1)
    return float(np.sort(values) @ (comb(ranks - 1, size - 1) / comb(len(values), size)))


def copying_summary(table: pd.DataFrame, variant: str) -> dict[str, float]:
    """Sums up how near a variant comes to its training photos.

    Papers: "Diffusion Art or Digital Forgery?" (Somepalli et al., 2022), arXiv:2212.03860, for the share above a
    threshold, here taken from real photos; A Non-Parametric Test to Detect Data-Copying in Generative Models (Meehan
    et al., 2020), arXiv:2004.05675, for z.

    Args:
        table: From `score_table`.
        variant: The checkpoint.

    Returns:
        Nothing where `nn_train` was not computed; else ``nn_train_p95`` and ``share_over_real`` of the test images (the
        share above `held_out_level` of the held-out photos, through the autoencoder where they were), and ``meehan_z``
        of images of the subject alone: below zero where they are nearer to the training photos than held-out photos
        are, at most by `largest_rank_z`.
    """
    real = held_out_scores(table, NEAREST)
    test, subject_only = (
        generated_scores(table, NEAREST, variant, which)["value"].to_numpy(dtype=np.float64)
        for which in (TEST, SUBJECT_ONLY)
    )
    summary = {}
    if len(real) and len(test):
        summary["nn_train_p95"] = float(np.quantile(test, 0.95))
        summary["share_over_real"] = float((test > held_out_level(real)).mean())
    if len(real) and len(subject_only):
        summary["meehan_z"] = rank_z(1 - subject_only, 1 - real)
    return summary


def rank_z(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Computes the z-score of the Mann-Whitney U of two samples: below zero where the first tends to be smaller.

    Args:
        first: (M,).
        second: (N,).

    Returns:
        (U - M N / 2) / sqrt(M N (M + N + 1) / 12), ties counting one half.
    """
    m, n = len(first), len(second)
    u = float(mannwhitneyu(first, second).statistic)
    return (u - m * n / 2) / float(np.sqrt(m * n * (m + n + 1) / 12))
