"""A judge that looks at the subject alone: likeness of whole images rewards a background like the photos' too."""

from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image
from torch import Tensor

from src.features.store import ImageTower, Judge


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
class CroppedJudge:
    """Another judge on crops around the subject, of drawn images and photos alike.

    Attributes:
        judge: Embeds the crops.
        cropper: Finds the subject.
        cropper_name: What the scores' provenance calls the cropper and its settings.
    """

    judge: Judge[ImageTower]
    cropper: Cropper
    cropper_name: str

    @property
    def name(self) -> str:
        """The judge's; the metric's own name says that it looks at crops."""
        return self.judge.name

    @property
    def title(self) -> str:
        """The judge's."""
        return self.judge.title

    def check(self) -> None:
        """Checks the judge's weights; raises what it raises."""
        self.judge.check()

    def describe(self) -> dict[str, Any]:
        """Returns the judge's identity and preprocessing, and the crop before it."""
        return {**self.judge.describe(), "crop": self.cropper_name}

    def load(self, device: str) -> "CroppedTower":
        """Loads the judge."""
        return CroppedTower(self.judge.load(device), self.cropper)


@dataclass(frozen=True)
class CroppedTower:
    """The loaded judge.

    Attributes:
        tower: Embeds the crops.
        cropper: Finds the subject.
    """

    tower: ImageTower
    cropper: Cropper

    def prepare(self, image: Image.Image) -> Tensor:
        """Returns the judge's input for the crop of one sRGB image, shape (3, H, W)."""
        box = self.cropper.find(image)
        return self.tower.prepare(image.crop((box.left, box.top, box.right, box.bottom)))

    def embed_images(self, batch: Tensor) -> Tensor:
        """Returns features of shape (B, D) for inputs of shape (B, 3, H, W)."""
        return self.tower.embed_images(batch)
