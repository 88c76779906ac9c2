"""Pictures of the embedded world as image sets, and what `_target_` of train_data and val_data names for them."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from src.core.errors import ConfigError, EmptyDatasetError
from src.core.seeding import derive_seed
from src.pretraining.images import ImageSet
from src.tabletop.backgrounds import BACKGROUNDS
from src.tabletop.captions import SceneCaptions
from src.tabletop.render import render
from src.tabletop.scene import sample_scene
from src.tabletop.subject import CATALOGUE, SUBJECT

# rays per pixel side, as the world is rendered
OVERSAMPLING = 3


def load_world(folder: str, mirrored: bool = False) -> ImageSet:
    """Loads pictures of the embedded world.

    Args:
        folder: What `python -m src.commands.tabletop_world` wrote: images.npy, masks.npy and scenes.csv.
        mirrored: Whether every picture follows once more, left and right exchanged; no caption tells one from the
            other.

    Returns:
        The set.

    Raises:
        EmptyDatasetError: The files are not there.
    """
    images, masks, scenes = (Path(folder) / name for name in ("images.npy", "masks.npy", "scenes.csv"))
    if not (images.is_file() and masks.is_file() and scenes.is_file()):
        raise EmptyDatasetError(f"{folder}: expected images.npy, masks.npy, scenes.csv; run `dvc repro` in tabletop/")
    table = pd.read_csv(scenes)
    classes = sorted(table["name"].unique())
    labels = torch.tensor([classes.index(name) for name in table["name"]])
    pixels = torch.from_numpy(np.load(images)).permute(0, 3, 1, 2).contiguous()
    covered = torch.from_numpy(np.load(masks))
    rows = [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
    if mirrored:
        pixels, covered = (torch.cat([part, part.flip(-1)]) for part in (pixels, covered))
        labels, rows = labels.repeat(2), rows * 2
    return ImageSet(pixels, labels, classes, SceneCaptions(rows), covered)


def load_pictures(folders: list[str]) -> ImageSet:
    """Loads pictures of which nothing is known, from all folders together.

    Args:
        folders: Each with images.npy, as `tabletop_world` and `tabletop_compositions` write it.

    Returns:
        The set; all pictures are of one class.

    Raises:
        EmptyDatasetError: A file is not there.
        ConfigError: The pictures are of different sizes.
    """
    found = [Path(folder) / "images.npy" for folder in folders]
    for file in found:
        if not file.is_file():
            raise EmptyDatasetError(f"{file} is not there; run `dvc repro` in tabletop/")
    arrays = [np.load(file) for file in found]
    if len({array.shape[1:] for array in arrays}) > 1:
        raise ConfigError(f"{', '.join(folders)}: pictures of {', '.join(str(a.shape[1]) for a in arrays)} px")
    pixels = torch.from_numpy(np.concatenate(arrays)).permute(0, 3, 1, 2).contiguous()
    return ImageSet(pixels, torch.zeros(len(pixels), dtype=torch.int64), ["picture"], None, None)


@cache
def render_subject(count: int, side: int, seed: int) -> ImageSet:
    """Renders the demo subject as the world's toys are photographed: what nothing is ever trained on.

    Args:
        count: How many pictures.
        side: Pixels.
        seed: Of the scenes.

    Returns:
        The set; its pictures are of one class.
    """
    scenes = [
        sample_scene(SUBJECT, BACKGROUNDS[index % len(BACKGROUNDS)], derive_seed(seed, index)) for index in range(count)
    ]
    pixels = render(scenes, side, side, OVERSAMPLING, CATALOGUE).permute(0, 3, 1, 2).contiguous()
    return ImageSet(pixels, torch.zeros(count, dtype=torch.int64), [SUBJECT.name], None, None)


@dataclass(frozen=True)
class World:
    """Pictures of the embedded world; the fields are the arguments of `load_world`."""

    folder: str
    mirrored: bool = False

    def load(self) -> ImageSet:
        """Reads the pictures."""
        return load_world(self.folder, self.mirrored)


@dataclass(frozen=True)
class Pictures:
    """Pictures of which nothing is known; the field is the argument of `load_pictures`."""

    folders: list[str]

    def load(self) -> ImageSet:
        """Reads the pictures."""
        return load_pictures(self.folders)


@dataclass(frozen=True)
class Subject:
    """The demo subject on the world's backgrounds; the fields are the arguments of `draw_subject`."""

    count: int
    side: int
    seed: int

    def load(self) -> ImageSet:
        """Renders the pictures."""
        return render_subject(self.count, self.side, self.seed)
