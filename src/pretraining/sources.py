"""Where a configuration takes images from: what `_target_` of train_data and val_data names."""

from dataclasses import dataclass
from typing import Protocol

from src.pretraining.folders import load_class_folders
from src.pretraining.images import ImageSet


class Source(Protocol):
    """Images that are read or generated when they are needed."""

    def load(self) -> ImageSet:
        """Returns the images."""


@dataclass(frozen=True)
class ClassFolders:
    """One part of a folder of class folders; the fields are the arguments of `load_class_folders`."""

    folder: str
    resolution: int
    part: str
    val_fraction: float
    seed: int
    captions: bool = False

    def load(self) -> ImageSet:
        """Decodes the part."""
        return load_class_folders(self.folder, self.resolution, self.part, self.val_fraction, self.seed, self.captions)
