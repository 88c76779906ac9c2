"""How far the class has drifted: images of the class noun alone, of the adapted model against the base model's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from src.core.errors import MetricError
from src.core.sets import CLASS_ONLY
from src.features.store import Features, FeatureStore
from src.metrics.base import Metric, Sample
from src.metrics.intervals import Interval, students_interval
from src.metrics.names import BASE, KID
from src.metrics.quantities import Quantity
from src.metrics.scores import ImageSimilarity


@dataclass
class ClassSimilarity(ImageSimilarity):
    """PRES: likeness of images of the class alone to the photos of the subject; the base model's own stands beside it.

    The higher, the more the class has become the subject (DreamBooth, Ruiz et al., 2022, arXiv:2208.12242, 4.3). KID
    is computed in its features, see `class_kid`.
    """

    sets: Sequence[str] = (CLASS_ONLY,)

    def quantities(self) -> list[Quantity]:
        """Returns PRES and KID."""
        return [
            Quantity(self.name, False, -1, 1).by(self.model),
            Quantity(KID, False).by(self.model),
        ]


@dataclass(frozen=True)
class Drift:
    """How far a checkpoint's class is from the base model's; `interval` is None with two images."""

    kid: float
    interval: Interval | None


def class_kid(metrics: Sequence[Metric], samples: Sequence[Sample], store: FeatureStore) -> dict[str, Drift]:
    """Computes KID between each checkpoint's class images and the base model's, in the features that PRES uses.

    Custom Diffusion (Kumari et al., 2022, arXiv:2212.04488) looks for forgetting in this way.

    Args:
        metrics: The chosen metrics; without a ClassSimilarity there is no metric model to ask.
        samples: Generated images.
        store: Computes features, each once.

    Returns:
        By variant, in no unit: near 0 where the class is as it was. Nothing with a single class image.

    Raises:
        MetricError: The variants' seeds differ.
    """
    model = next((metric.model for metric in metrics if isinstance(metric, ClassSimilarity)), None)
    if model is None:
        return {}
    images: dict[str, dict[tuple[str, int], Features]] = {}
    looked_at = [sample for sample in samples if sample.set == CLASS_ONLY]
    features = store.image_features(model, [sample.image for sample in looked_at])
    for sample, feature in zip(looked_at, features, strict=True):
        images.setdefault(sample.variant, {})[sample.prompt_id, sample.seed] = feature
    base = images.pop(BASE)
    if len(base) < 2:
        return {}
    if wrong := [variant for variant, own in images.items() if own.keys() != base.keys()]:
        raise MetricError(f"class images of {wrong[0]}: expected the seeds of {BASE}")
    sides = {variant: np.stack([own[key] for key in base]) for variant, own in images.items()}
    of_base = np.stack(list(base.values()))
    return {variant: Drift(kid(own, of_base), kid_interval(own, of_base)) for variant, own in sides.items()}


def kid_interval(first: Features, second: Features) -> Interval | None:
    """Estimates how sure a KID is, from what it becomes without each pair of images in turn.

    The pseudo-values N KID - (N - 1) KID_(-n), KID_(-n) being the one without pair n, are handed to Student's interval
    as if they were independent; their mean is the KID. Where the sets do not differ it is wider than its level says.

    Paper: The Jackknife, the Bootstrap and Other Resampling Plans (Efron, 1982), chapter 3.

    Args:
        first: (N, D).
        second: (N, D), in the same order of seeds.

    Returns:
        The KID and its LEVEL interval; None with fewer than three pairs.
    """
    count = len(first)
    if count < 3:
        return None
    without = [kid(np.delete(first, row, axis=0), np.delete(second, row, axis=0)) for row in range(count)]
    return students_interval(count * kid(first, second) - (count - 1) * np.array(without))


def kid(first: Features, second: Features) -> float:
    """Computes the kernel distance of two sets of images from the same noise, row by row.

    Paper: Demystifying MMD GANs (Bińkowski et al., 2018), arXiv:1801.01401, its kernel (x·y / D + 1)³ with D the number
    of features, of features as the model gives them; but of the metric model's, where the paper has Inception's. Pairs
    of one seed are left out (the U-statistic): they are alike for another reason than the model.

    Args:
        first: (N, D), as the model gives them.
        second: (N, D), in the same order of seeds.

    Returns:
        The squared maximum mean discrepancy; may be below 0.

    Raises:
        MetricError: N is below 2.
    """
    # only here: it brings torchvision, and every command that reads scores imports this module
    from torch_fidelity.metric_kid import kernel_poly, mmd2

    if len(first) < 2:
        raise MetricError(f"KID needs two images or more, found {len(first)}")
    kernels = [kernel_poly(*pair) for pair in ((first, first), (first, second), (second, second))]
    return float(mmd2(*kernels, mmd_est="u-statistic"))
