"""Where a configuration takes images from: what `_target_` of train_data and val_data names."""

from dataclasses import dataclass
from typing import Protocol

from src.scratch.folders import load_class_folders
from src.scratch.images import ImageSet, draw_subject, load_pictures, load_world


class Source(Protocol):
    """Images that are read or drawn when they are needed."""

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

    def load(self) -> ImageSet:
        """Decodes the part."""
        return load_class_folders(self.folder, self.resolution, self.part, self.val_fraction, self.seed)


@dataclass(frozen=True)
class World:
    """Pictures of the embedded world; the fields are the arguments of `load_world`."""

    folder: str
    side: int | None = None

    def load(self) -> ImageSet:
        """Reads the pictures."""
        return load_world(self.folder, self.side)


@dataclass(frozen=True)
class Pictures:
    """Pictures of which nothing is known; the field is the argument of `load_pictures`."""

    folders: list[str]

    def load(self) -> ImageSet:
        """Reads the pictures."""
        return load_pictures(self.folders)


@dataclass(frozen=True)
class Subject:
    """The demo subject on the world's grounds; the fields are the arguments of `draw_subject`."""

    count: int
    side: int
    seed: int

    def load(self) -> ImageSet:
        """Draws the pictures."""
        return draw_subject(self.count, self.side, self.seed)
