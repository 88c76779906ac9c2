"""How far the class has drifted: images of the class noun alone, of the adapted model against the base model's."""

from collections.abc import Sequence

import numpy as np
from torch_fidelity.metric_kid import kernel_poly, mmd2

from src.core.errors import MetricError
from src.metrics.features import Features, FeatureStore
from src.metrics.names import BASE, PRES, PRIOR
from src.metrics.scores import Metric, Sample


def class_kid(metrics: Sequence[Metric], samples: Sequence[Sample], store: FeatureStore) -> dict[str, float]:
    """Computes KID between each checkpoint's class images and the base model's, in the features that PRES uses.

    Custom Diffusion (Kumari et al., 2022, arXiv:2212.04488) looks for forgetting in this way.

    Args:
        metrics: The chosen metrics; without PRES there is no judge to ask.
        samples: Drawn images.
        store: Computes features, each once.

    Returns:
        By variant, in no unit: near 0 where the class is as it was. Nothing with a single class image.

    Raises:
        MetricError: The variants' seeds differ.
    """
    judge = next((metric.judge for metric in metrics if metric.name == PRES), None)
    if judge is None:
        return {}
    images: dict[str, dict[tuple[str, int], Features]] = {}
    looked_at = [sample for sample in samples if sample.set == PRIOR]
    features = store.embed_images(judge, [sample.image for sample in looked_at])
    for sample, feature in zip(looked_at, features, strict=True):
        images.setdefault(sample.variant, {})[sample.prompt_id, sample.seed] = feature
    base = images.pop(BASE)
    if len(base) < 2:
        return {}
    if wrong := [variant for variant, own in images.items() if own.keys() != base.keys()]:
        raise MetricError(f"class images of {wrong[0]}: expected the seeds of {BASE}")
    return {
        variant: kid(np.stack([own[key] for key in base]), np.stack(list(base.values())))
        for variant, own in images.items()
    }


def kid(first: Features, second: Features) -> float:
    """Computes the kernel distance of two sets drawn from the same noise, row by row.

    Paper: Demystifying MMD GANs (Bińkowski et al., 2018), arXiv:1801.01401; its kernel (x·y / D + 1)³ with D the
    number of features, here of vectors of length sqrt(D), so that the mean square of a feature is 1 as the kernel
    expects, whatever the judge. Pairs of one seed are left out (the U-statistic): they are alike for another reason
    than the model.

    Args:
        first: (N, D), unit vectors.
        second: (N, D), unit vectors, in the same order of seeds.

    Returns:
        The squared maximum mean discrepancy; may be below 0.

    Raises:
        MetricError: N is below 2.
    """
    if len(first) < 2:
        raise MetricError(f"KID needs two images or more, found {len(first)}")
    kernels = [
        kernel_poly(*pair, kid_kernel_poly_gamma=1.0) for pair in ((first, first), (first, second), (second, second))
    ]
    return float(mmd2(*kernels, mmd_est="u-statistic"))
