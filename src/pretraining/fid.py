"""Frechet distance between held-out and generated images: pytorch-fid's tensors through torch-fidelity's network.

Paper: GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium (Heusel et al., 2017),
arXiv:1706.08500, equation 6. Symbols: N images, D feature dimensions, S side in pixels.
"""

import sys
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

from src.core.errors import ConfigError, MetricError, MissingModelError, ModelMismatchError
from src.core.files import has_file, sha256_file
from src.pretraining.images import ImageSet
from src.pretraining.sampling import ImageSampler

# pytorch-fid and torch-fidelity publish one and the same file, its SHA-256 in its name
INCEPTION_SHA256 = "6726825d"
INCEPTION_FEATURES = "2048"
INCEPTION_PX = 299
# the layers up to the pooled features, in the network's order
INCEPTION_LAYERS = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "MaxPool_2"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    *("Mixed_7a", "Mixed_7b", "Mixed_7c", "AvgPool"),
)
# two in each half of the real images
LEAST_IMAGES = 4
# what is added to a name for the number of real images
COUNT = "_images"
# one seed for the split of the real images into halves
HALVES_SEED = 0


class Measure(Protocol):
    """Something that evaluations measure on what a model generates."""

    def check(self, images: ImageSet) -> None:
        """Raises before the training if these held-out images cannot be measured on."""
        ...

    def __call__(self, sampler: ImageSampler, images: ImageSet) -> dict[str, float]:
        """Returns numbers by name."""
        ...


class FeatureExtractor(Protocol):
    """Turns images into features.

    Attributes:
        name: Of the distance that it serves.
        dimensions: D.
    """

    name: str
    dimensions: int

    def extract(self, pixels: Tensor, device: torch.device) -> Tensor:
        """Turns images (B, 3, S, S), uint8, into features (B, D), float32 on the CPU."""
        ...


class InceptionFeatures:
    """Pool features of the Inception network that published FID values are computed with.

    Images are prepared as pytorch-fid 0.3.0 does (fid_inception) or as torch-fidelity does, after the original in
    TensorFlow 1 (fid_inception_tf1). Features differ by 6 to 23 %, so both have names of their own.

    Args:
        weights: ``weights-inception-2015-12-05-6726825d.pth`` (or pytorch-fid's ``pt_inception-...``, the same file).
        preparation: ``pytorch_fid`` or ``tensorflow1``.

    Raises:
        MissingModelError: There is no such file.
        ModelMismatchError: It is another file; it is not even unpickled then.
        ConfigError: `preparation` is unknown.
    """

    def __init__(self, weights: str, preparation: str) -> None:
        if preparation not in ("pytorch_fid", "tensorflow1"):
            raise ConfigError(f"preparation={preparation!r}: expected pytorch_fid or tensorflow1")
        if not has_file(Path(weights)):
            raise MissingModelError(
                f"{weights}: no such file; expected weights-inception-2015-12-05-{INCEPTION_SHA256}.pth "
                "from github.com/toshas/torch-fidelity, release v0.2.0"
            )
        digest = sha256_file(Path(weights))
        if not digest.startswith(INCEPTION_SHA256):
            raise ModelMismatchError(f"{weights}: expected SHA-256 {INCEPTION_SHA256}..., found {digest[:8]}...")
        self.name = "fid_inception" if preparation == "pytorch_fid" else "fid_inception_tf1"
        self.dimensions = int(INCEPTION_FEATURES)
        self.network = FeatureExtractorInceptionV3(
            self.name, [INCEPTION_FEATURES], feature_extractor_weights_path=weights
        )

    @torch.no_grad()
    def extract(self, pixels: Tensor, device: torch.device) -> Tensor:
        """Prepares and extracts; see FeatureExtractor."""
        network = self.network.to(device)
        if self.name == "fid_inception":
            features = prepare_as_pytorch_fid(pixels.to(device))
            for layer in INCEPTION_LAYERS:
                features = getattr(network, layer)(features)
            features = features.flatten(1)
        else:
            (features,) = network(pixels.to(device))
        return features.float().cpu()


def prepare_as_pytorch_fid(pixels: Tensor) -> Tensor:
    """Prepares images as `pytorch_fid.inception.InceptionV3` does with resize_input and normalize_input.

    Args:
        pixels: (B, 3, S, S), uint8.

    Returns:
        (B, 3, 299, 299), float32 in [-1, 1]: ToTensor, bilinear without antialiasing, 2 x - 1.
    """
    resized = functional.interpolate(pixels.float() / 255, (INCEPTION_PX, INCEPTION_PX), mode="bilinear")
    return 2 * resized - 1


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Computes |mu_1 - mu_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2)) in double precision.

    Args:
        real: Features, (N, D).
        fake: Others, (M, D).

    Returns:
        The distance, >= 0 but for rounding.
    """
    statistics = [fid_features_to_statistics(features.detach().cpu().double()) for features in (real, fake)]
    return float(fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID])


def distance_of_halves(features: Tensor) -> float:
    """Computes the distance between two random halves of one set, always the same ones.

    Args:
        features: (N, D), N of LEAST_IMAGES or more.

    Returns:
        The distance at N / 2 images: it falls with N and is 0 only for infinitely many.
    """
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(HALVES_SEED))
    half = len(features) // 2
    return frechet_distance(features[order[:half]], features[order[half : 2 * half]])


class FidMeasure:
    """FID: all held-out images against as many generated ones, told the same classes (or captions), one for one.

    Args:
        features: What extracts features; it names the number.
        steps: Denoising steps; a GAN needs none.
        guidance: Classifier-free guidance scale; a GAN needs none.
        seed: Of the generated images: the same noise at every evaluation.
        batch_size: Images at a time.

    Raises:
        ConfigError: `steps` or `batch_size` is less than 1.
    """

    def __init__(self, features: FeatureExtractor, steps: int, guidance: float, seed: int, batch_size: int) -> None:
        if steps < 1 or batch_size < 1:
            raise ConfigError(f"measures: steps={steps}, batch_size={batch_size}: expected 1 or more")
        self.features, self.steps, self.guidance = features, steps, guidance
        self.seed, self.batch_size = seed, batch_size
        self._real: tuple[Tensor, Tensor] | None = None
        self._floor = 0.0

    def check(self, images: ImageSet) -> None:
        """Warns of a covariance that cannot have full rank; pytorch-fid computes with it, too.

        Args:
            images: The real side.

        Raises:
            ConfigError: There are too few for two halves with a covariance each.
        """
        if len(images) < LEAST_IMAGES:
            raise ConfigError(f"val_data: found {len(images)} images, FID needs {LEAST_IMAGES} or more")
        if len(images) <= self.features.dimensions:
            print(
                f"WARNING: {self.features.name} over {len(images)} images, not more than its "
                f"{self.features.dimensions} feature dimensions: the covariance is singular and the value too high. "
                "Compare only values over as many images; `_floor` is that of two halves of the real ones",
                file=sys.stderr,
            )

    def __call__(self, sampler: ImageSampler, images: ImageSet) -> dict[str, float]:
        """Generates, and compares.

        Args:
            sampler: Generates with the model.
            images: The real side: images that the model has not learnt from.

        Returns:
            The distance under the extractor's name, with ``_floor`` that between two random halves of the real images:
            what images of the very same kind have at half as many, and with ``_images`` how many there are.

        Raises:
            MetricError: The features are not finite.
        """
        self.check(images)
        wanted = sampler.condition.describe(images, torch.arange(len(images)))
        fake = sampler.sample(wanted, self.seed, self.steps, self.guidance, self.batch_size)
        found = self._extract(fake, sampler.device)
        if not found.isfinite().all():
            raise MetricError(f"{self.features.name}: features of generated images are not finite")
        real = self._real_features(images.pixels, sampler.device)
        name = self.features.name
        return {
            name: frechet_distance(real, found),
            f"{name}_floor": self._floor,
            f"{name}{COUNT}": float(len(images)),
        }

    def _real_features(self, pixels: Tensor, device: torch.device) -> Tensor:
        if self._real is None or self._real[0] is not pixels:
            self._real = pixels, self._extract(pixels, device)
            self._floor = distance_of_halves(self._real[1])
        return self._real[1]

    def _extract(self, pixels: Tensor, device: torch.device) -> Tensor:
        return torch.cat([self.features.extract(part, device) for part in pixels.split(self.batch_size)])
