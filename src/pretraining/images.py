"""Sets of images to learn from, in memory as bytes, and the order in which they are generated."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor

from src.core.errors import ConfigError
from src.core.files import sha256_bytes, write_bytes
from src.models.pixels import as_image
from src.pretraining.captions import Captions
from src.training.batches import epoch_order


@dataclass(frozen=True)
class ImageSet:
    """Images with what is known about them.

    Attributes:
        pixels: (N, 3, S, S), uint8.
        labels: Class numbers, (N,), int64.
        classes: Class names; `labels` index them.
        captions: What is written about the images, or None.
        masks: (N, S, S), uint8, 1 on the subject, or None.
    """

    pixels: Tensor
    labels: Tensor
    classes: list[str]
    captions: Captions | None
    masks: Tensor | None

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def resolution(self) -> int:
        """The images' side, pixels."""
        return self.pixels.shape[-1]

    def digest(self) -> str:
        """Names everything that is known about the images."""
        arrays = [array for array in (self.pixels, self.labels, self.masks) if array is not None]
        written = None if self.captions is None else self.captions.digest()
        parts = [*(sha256_bytes(array.numpy().tobytes()) for array in arrays), *self.classes, str(written)]
        return sha256_bytes("\0".join(parts).encode())


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
        batch_size: How many to generate; may exceed `count`.
        seed: Of the order.
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.batch_size, self.seed = count, batch_size, seed

    def at(self, step: int) -> Tensor:
        """Returns the indices of the images of an update, (batch_size,), int64."""
        first = step * self.batch_size
        positions = torch.arange(first, first + self.batch_size)
        epochs = positions // self.count
        return torch.cat(
            [
                epoch_order(self.count, self.seed, "epoch", int(epoch))[positions[epochs == epoch] % self.count]
                for epoch in epochs.unique()
            ]
        )


def examples(images: ImageSet, names: Iterable[str], count: int) -> dict[str, Tensor]:
    """Returns the first images of some classes: what is generated of a class is looked at beside them.

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
            as_image(pixels).save(stream, format="PNG")
            write_bytes(folder / name.replace("/", "-") / f"{index:03d}.png", stream.getvalue())


def to_unit(pixels: Tensor, device: torch.device) -> Tensor:
    """Turns bytes (B, 3, S, S) into float32 in [-1, 1] on a device, channels last in memory."""
    return (pixels.to(device).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def flipped(pixels: Tensor) -> Tensor:
    """Mirrors half of the images, drawn from torch's global stream; shape and dtype stay."""
    mirror = torch.rand(len(pixels)) < 0.5
    result = pixels.clone()
    result[mirror] = pixels[mirror].flip(-1)
    return result
