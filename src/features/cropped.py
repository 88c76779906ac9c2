"""A metric model that sees the subject alone: likeness of whole images rewards a background like the photos' too."""

from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image
from torch import Tensor

from src.features.store import ImageExtractor, MetricModel


class Square(Protocol):
    """A square part of an image, pixels."""

    left: int
    top: int
    right: int
    bottom: int


class Cropper(Protocol):
    """Finds the subject in an image."""

    def find(self, image: Image.Image) -> Square:
        """Returns the square to look at."""


@dataclass(frozen=True)
class CroppedModel:
    """Another metric model on crops around the subject, of generated images and photos alike.

    Attributes:
        model: Embeds the crops.
        cropper: Finds the subject.
        cropper_name: What the scores' provenance calls the cropper and its settings.
    """

    model: MetricModel[ImageExtractor]
    cropper: Cropper
    cropper_name: str

    @property
    def name(self) -> str:
        """The metric model's; the metric's own name says that it looks at crops."""
        return self.model.name

    @property
    def title(self) -> str:
        """The metric model's."""
        return self.model.title

    def check(self) -> None:
        """Checks the metric model's weights; raises what it raises."""
        self.model.check()

    def describe(self) -> dict[str, Any]:
        """Returns the metric model's identity and preprocessing, and the crop before it."""
        return {**self.model.describe(), "crop": self.cropper_name}

    def load(self, device: str) -> "CroppedExtractor":
        """Loads the metric model."""
        return CroppedExtractor(self.model.load(device), self.cropper)


@dataclass(frozen=True)
class CroppedExtractor:
    """The loaded metric model.

    Attributes:
        extractor: Embeds the crops.
        cropper: Finds the subject.
    """

    extractor: ImageExtractor
    cropper: Cropper

    def prepare(self, image: Image.Image) -> Tensor:
        """Returns the metric model's input for the crop of one sRGB image, shape (3, H, W)."""
        box = self.cropper.find(image)
        return self.extractor.prepare(image.crop((box.left, box.top, box.right, box.bottom)))

    def embed_images(self, batch: Tensor) -> Tensor:
        """Returns features of shape (B, D) for inputs of shape (B, 3, H, W)."""
        return self.extractor.embed_images(batch)
