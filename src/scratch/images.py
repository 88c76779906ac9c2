"""Sets of images to learn from, in memory as bytes, and the order in which they are drawn."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from src.core.errors import ConfigError, EmptyDatasetError
from src.core.files import write_bytes
from src.core.seeding import derive_seed
from src.tabletop.grounds import GROUNDS
from src.tabletop.render import render
from src.tabletop.scene import draw_scene
from src.tabletop.subject import CATALOGUE, SUBJECT

# rays per pixel side, as the world is drawn
OVERSAMPLING = 3


@dataclass(frozen=True)
class ImageSet:
    """Images with what is known about them.

    Attributes:
        pixels: (N, 3, S, S), uint8.
        labels: Class numbers, (N,), int64.
        classes: Class names; `labels` index them.
        scenes: What is seen on each image of the world; None for a folder of class folders.
        masks: (N, S, S), uint8, 1 on the toy; None for a folder of class folders.
    """

    pixels: Tensor
    labels: Tensor
    classes: list[str]
    scenes: list[dict[str, Any]] | None
    masks: Tensor | None

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def resolution(self) -> int:
        """The images' side, pixels."""
        return self.pixels.shape[-1]


def load_world(folder: str, side: int | None = None) -> ImageSet:
    """Loads pictures of the embedded world.

    Args:
        folder: What `python -m src.commands.tabletop_world` wrote: images.npy, masks.npy and scenes.csv.
        side: Pixels to which they are reduced by averaging squares; None leaves them as they are. What reads pictures
            need not read all the pixels that a diffusion model draws.

    Returns:
        The set.

    Raises:
        EmptyDatasetError: The files are not there.
        ConfigError: The pictures' side is no multiple of `side`.
    """
    images, masks, scenes = (Path(folder) / name for name in ("images.npy", "masks.npy", "scenes.csv"))
    if not (images.is_file() and masks.is_file() and scenes.is_file()):
        raise EmptyDatasetError(f"{folder}: expected images.npy, masks.npy, scenes.csv; run `dvc repro` in tabletop/")
    table = pd.read_csv(scenes)
    classes = sorted(table["name"].unique())
    labels = torch.tensor([classes.index(name) for name in table["name"]])
    pixels = torch.from_numpy(np.load(images)).permute(0, 3, 1, 2).contiguous()
    covered = torch.from_numpy(np.load(masks))
    if side is not None:
        pixels, covered = _reduced(pixels, side), _reduced(covered.unsqueeze(1), side).squeeze(1)
    rows = [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
    return ImageSet(pixels, labels, classes, rows, covered)


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
def draw_subject(count: int, side: int, seed: int) -> ImageSet:
    """Draws the demo subject as the world's toys are photographed: what nothing is ever trained on.

    Args:
        count: How many pictures.
        side: Pixels.
        seed: Of the scenes.

    Returns:
        The set; its pictures are of one class.
    """
    scenes = [draw_scene(SUBJECT, GROUNDS[index % len(GROUNDS)], derive_seed(seed, index)) for index in range(count)]
    pixels = render(scenes, side, side, OVERSAMPLING, CATALOGUE).permute(0, 3, 1, 2).contiguous()
    return ImageSet(pixels, torch.zeros(count, dtype=torch.int64), [SUBJECT.name], None, None)


def _reduced(pixels: Tensor, side: int) -> Tensor:
    """Averages squares of bytes (N, C, S, S) to (N, C, side, side)."""
    own = pixels.shape[-1]
    if side < 1 or own % side:
        raise ConfigError(f"side={side}: expected a divisor of {own}, the side of the world's pictures")
    parts = [avg_pool2d(part.float(), own // side).round().to(torch.uint8) for part in pixels.split(1000)]
    return torch.cat(parts)


def check_pair(train_set: ImageSet, val_set: ImageSet, by_class: bool) -> None:
    """Checks that held-out images are of the same kind as the training images.

    Args:
        train_set: What is learnt from.
        val_set: What is measured on.
        by_class: Whether class numbers are used, which must mean the same in both.

    Raises:
        ConfigError: They differ in size, or in classes where those are used.
    """
    if train_set.resolution != val_set.resolution:
        raise ConfigError(f"val_data: images of {val_set.resolution} px; train_data has {train_set.resolution} px")
    if by_class and train_set.classes != val_set.classes:
        differing = sorted(set(train_set.classes) ^ set(val_set.classes))
        raise ConfigError(f"val_data: other classes than train_data: {', '.join(differing[:5])} in one of them only")


class Draws:
    """Draws batches: every epoch is its own permutation, a function of the seed and the epoch alone.

    Args:
        count: How many images there are.
        batch_size: How many to draw; may exceed `count`.
        seed: Of the order.
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self._orders: dict[int, Tensor] = {}

    def at(self, step: int) -> Tensor:
        """Returns the indices of the images of an update, (batch_size,), int64."""
        first = step * self.batch_size
        positions = torch.arange(first, first + self.batch_size)
        epochs = positions // self.count
        return torch.cat(
            [self._order(int(epoch))[positions[epochs == epoch] % self.count] for epoch in epochs.unique()]
        )

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            generator = torch.Generator().manual_seed(derive_seed(self.seed, "epoch", epoch))
            self._orders = {
                **({epoch - 1: self._orders[epoch - 1]} if epoch - 1 in self._orders else {}),
                epoch: torch.randperm(self.count, generator=generator),
            }
        return self._orders[epoch]


def examples(images: ImageSet, names: Iterable[str], count: int) -> dict[str, Tensor]:
    """Returns the first images of some classes: what is drawn of a class is looked at beside them.

    Args:
        images: A set.
        names: Of classes; others are left out.
        count: How many of each.

    Returns:
        (n, 3, S, S), uint8, n <= count, by class.
    """
    found = {
        name: images.pixels[images.labels == images.classes.index(name)] for name in names if name in images.classes
    }
    return {name: pixels[:count] for name, pixels in found.items() if len(pixels)}


def save_samples(folder: Path, samples: Mapping[str, Tensor]) -> None:
    """Writes pictures as PNG files, a folder for each name.

    Args:
        folder: Where to.
        samples: (n, 3, S, S), uint8, by name.
    """
    for name, images in samples.items():
        for index, pixels in enumerate(images):
            stream = BytesIO()
            Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(stream, format="PNG")
            write_bytes(folder / name.replace("/", "-") / f"{index:03d}.png", stream.getvalue())


def to_unit(pixels: Tensor, device: torch.device) -> Tensor:
    """Turns bytes (B, 3, S, S) into float32 in [-1, 1] on a device, channels last in memory."""
    return (pixels.to(device).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def to_bytes(images: Tensor) -> Tensor:
    """Turns images in [-1, 1] into bytes on the CPU, (B, 3, S, S), uint8; what lies outside is cut off."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu()


def flipped(pixels: Tensor) -> Tensor:
    """Mirrors half of the images, drawn from torch's global stream; shape and dtype stay."""
    mirror = torch.rand(len(pixels)) < 0.5
    result = pixels.clone()
    result[mirror] = pixels[mirror].flip(-1)
    return result
