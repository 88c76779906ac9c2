"""Frechet distance between held-out and generated images, through the reference implementation of torch-fidelity.

Paper: GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium (Heusel et al., 2017),
arXiv:1706.08500, equation 6. Symbols: N images, D feature dimensions, S side in pixels.
"""

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

from src.core.errors import ConfigError, MetricError, MissingModelError, ModelMismatchError
from src.core.files import sha256_file
from src.scratch.drawing import Drawer
from src.scratch.images import ImageSet, to_unit
from src.tabletop.reader import load_reader

# pytorch-fid and torch-fidelity publish one and the same file, its SHA-256 in its name
INCEPTION_SHA256 = "6726825d"
INCEPTION_FEATURES = "2048"


class Measure(Protocol):
    """Something that evaluations measure on what a model draws."""

    def check(self, images: ImageSet) -> None:
        """Raises before the training if these held-out images cannot be measured on."""
        ...

    def __call__(self, drawer: Drawer, images: ImageSet) -> dict[str, float]:
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

    Args:
        weights: ``weights-inception-2015-12-05-6726825d.pth`` (or pytorch-fid's ``pt_inception-...``, the same file).

    Raises:
        MissingModelError: There is no such file.
        ModelMismatchError: It is another file; it is not even unpickled then.
    """

    def __init__(self, weights: str) -> None:
        if not Path(weights).is_file():
            raise MissingModelError(
                f"{weights}: no such file; expected weights-inception-2015-12-05-{INCEPTION_SHA256}.pth "
                "from github.com/toshas/torch-fidelity, release v0.2.0"
            )
        digest = sha256_file(Path(weights))
        if not digest.startswith(INCEPTION_SHA256):
            raise ModelMismatchError(f"{weights}: expected SHA-256 {INCEPTION_SHA256}..., found {digest[:8]}...")
        self.name, self.dimensions = "fid_inception", int(INCEPTION_FEATURES)
        self.network = FeatureExtractorInceptionV3(
            self.name, [INCEPTION_FEATURES], feature_extractor_weights_path=weights
        )

    @torch.no_grad()
    def extract(self, pixels: Tensor, device: torch.device) -> Tensor:
        """Resizes as TensorFlow 1 did and extracts; see FeatureExtractor."""
        (features,) = self.network.to(device)(pixels.to(device))
        return features.float().cpu()


class ReaderFeatures:
    """Features of the embedded world's reader; comparable among models of this project only.

    Args:
        folder: The reader's weights and widths.

    Raises:
        MissingModelError: They are not there.
    """

    def __init__(self, folder: str) -> None:
        self.reader = load_reader(Path(folder), torch.device("cpu"))
        self.name, self.dimensions = "fid_tabletop", self.reader.widths[-1]

    @torch.no_grad()
    def extract(self, pixels: Tensor, device: torch.device) -> Tensor:
        """Resizes to the side that the reader has learnt to read and extracts; see FeatureExtractor."""
        images, side = to_unit(pixels, device), self.reader.side
        if images.shape[-1] != side:
            images = functional.interpolate(images, (side, side), mode="bilinear", antialias=True)
        features, _ = self.reader.to(device)(images)
        return features.float().cpu()


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

    def check(self, images: ImageSet) -> None:
        """Refuses a covariance that cannot have full rank.

        Args:
            images: The real side.

        Raises:
            ConfigError: There are not more images than feature dimensions.
        """
        if len(images) <= self.features.dimensions:
            raise ConfigError(
                f"val_data: test set smaller than FID needs: found {len(images)} images, "
                f"expected more than {self.features.dimensions}, the feature dimensions of {self.features.name}"
            )

    def __call__(self, drawer: Drawer, images: ImageSet) -> dict[str, float]:
        """Generates, and compares.

        Args:
            drawer: Draws with the model.
            images: The real side: images that the model has not learnt from.

        Returns:
            The distance under the extractor's name.

        Raises:
            MetricError: The features are not finite.
        """
        self.check(images)
        wanted = drawer.condition.describe(images, torch.arange(len(images)))
        fake = drawer.draw(wanted, self.seed, self.steps, self.guidance, self.batch_size)
        found = self._extract(fake, drawer.device)
        if not found.isfinite().all():
            raise MetricError(f"{self.features.name}: features of generated images are not finite")
        return {self.features.name: frechet_distance(self._real_features(images.pixels, drawer.device), found)}

    def _real_features(self, pixels: Tensor, device: torch.device) -> Tensor:
        if self._real is None or self._real[0] is not pixels:
            self._real = pixels, self._extract(pixels, device)
        return self._real[1]

    def _extract(self, pixels: Tensor, device: torch.device) -> Tensor:
        return torch.cat([self.features.extract(part, device) for part in pixels.split(self.batch_size)])
