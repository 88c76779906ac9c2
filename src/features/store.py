"""Turns images and texts into features, each once: loads metric models, batches, pads, and caches by content."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from src.core.errors import ConfigError, MetricError
from src.core.files import has_file, sha256_file
from src.core.processes import ALONE, Processes
from src.core.progress import follow

MAX_WORKERS = 16
Features = NDArray[np.float64]
Item = TypeVar("Item")
Result = TypeVar("Result")
LoadedExtractor = TypeVar("LoadedExtractor", covariant=True)


@dataclass(frozen=True)
class ImageFile:
    """An image on disk and the hash of the file."""

    path: Path
    sha256: str


class MetricModel(Protocol[LoadedExtractor]):
    """Names a model and how images are prepared for it; cheap until it is loaded."""

    @property
    def name(self) -> str:
        """What keys of metrics call the model; no two models share one."""

    @property
    def title(self) -> str:
        """What texts call it."""

    def check(self) -> None:
        """Raises if the weights are not on this machine or not what they should be."""

    def describe(self) -> dict[str, Any]:
        """Returns the model's identity and preprocessing, as the scores' provenance shows them."""

    def load(self, device: str) -> LoadedExtractor:
        """Returns the model, in fp32, in evaluation mode, without gradients."""


class ImageExtractor(Protocol):
    """A loaded model that embeds images."""

    def prepare(self, image: Image.Image) -> Tensor:
        """Returns the model's input for one sRGB image, shape (3, H, W)."""

    def embed_images(self, batch: Tensor) -> Tensor:
        """Returns features of shape (B, D) for inputs of shape (B, 3, H, W)."""


class TextExtractor(Protocol):
    """A loaded model that embeds texts."""

    def embed_text(self, text: str) -> Tensor:
        """Returns features of shape (D,)."""


class FaceExtractor(Protocol):
    """A loaded model that finds a face and describes it."""

    def face(self, file: ImageFile) -> Features | None:
        """Returns a unit vector of shape (D,) for the largest face, the leftmost of equally large ones, or None."""


class FeatureStore:
    """Loads each metric model once, and sends each image and text through it once, whoever asks.

    Batches are padded to one size and every CPU kernel runs in one thread, so that a feature does not depend on
    its neighbours or on the number of cores; the cores share the batches instead.

    Args:
        batch_size: Images per forward pass.
        device: Where the metric models run, for example ``cpu``.
        stage: Whose progress is shown.
        processes: Which share the forward passes; all of them get all features.

    Raises:
        ConfigError: `batch_size` is not positive.
    """

    def __init__(self, batch_size: int, device: str, stage: str = "evaluate", processes: Processes = ALONE) -> None:
        if batch_size < 1:
            raise ConfigError(f"evaluate.batch_size={batch_size}: expected 1 or more")
        self.batch_size = batch_size
        self.device = device
        self.stage = stage
        self._processes = processes
        self._extractors: dict[MetricModel[Any], Any] = {}
        self._features: dict[tuple[MetricModel[Any], str], Features] = {}
        self._lengths: dict[tuple[MetricModel[Any], str], float] = {}

    def extractor(self, model: MetricModel[LoadedExtractor]) -> LoadedExtractor:
        """Returns a metric model, loaded at the first call."""
        if model not in self._extractors:
            self._extractors[model] = model.load(self.device)
        return self._extractors[model]

    def embed_images(self, model: MetricModel[Any], files: Sequence[ImageFile]) -> Features:
        """Returns one unit vector per image.

        Args:
            model: Loads an `ImageTower`.
            files: At least one image.

        Returns:
            Features of shape (N, D).

        Raises:
            MetricError: No image, an image that is not 8-bit RGB, or a feature that is not finite or is zero.
        """
        if not files:
            raise MetricError("there are no images to embed")
        wanted = {file.sha256: file for file in files if (model, file.sha256) not in self._features}
        fresh = list(wanted.values())
        extractor: ImageExtractor = self.extractor(model)
        batches = [fresh[i : i + self.batch_size] for i in range(0, len(fresh), self.batch_size)]
        for batch, rows in zip(batches, self.map(lambda b: self._embed_batch(extractor, b), batches), strict=True):
            for file, row in zip(batch, rows, strict=True):
                self._features[model, file.sha256] = unit_vector(row, str(file.path))
                self._lengths[model, file.sha256] = float(np.linalg.norm(row))
        return np.stack([self._features[model, file.sha256] for file in files])

    def image_features(self, model: MetricModel[Any], files: Sequence[ImageFile]) -> Features:
        """Returns features of images as the model gives them, (N, D); arguments and errors as `embed_images`."""
        units = self.embed_images(model, files)
        return units * np.array([self._lengths[model, file.sha256] for file in files])[:, None]

    def embed_texts(self, model: MetricModel[Any], texts: Sequence[str]) -> Features:
        """Returns one unit vector per text.

        Args:
            model: Loads a `TextTower`.
            texts: At least one text.

        Returns:
            Features of shape (N, D).

        Raises:
            MetricError: A text is too long for the model, or its feature is not finite or is zero.
        """
        extractor: TextExtractor = self.extractor(model)
        fresh = sorted({text for text in texts if (model, text) not in self._features})
        rows = self.map(lambda text: to_numpy(extractor.embed_text(text)), fresh)
        for text, row in zip(fresh, rows, strict=True):
            self._features[model, text] = unit_vector(row, repr(text))
        return np.stack([self._features[model, text] for text in texts])

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Applies a function without gradients, in exact arithmetic, on all cores.

        Args:
            function: Must not depend on what else runs.
            items: Its arguments.

        Returns:
            The results, in order.
        """

        def run(item: Item) -> Result:
            with torch.no_grad():  # holds for the thread it is entered in
                return function(item)

        workers, own = min(os.cpu_count() or 1, MAX_WORKERS), self._processes.share(items)
        with exact_arithmetic(), ThreadPoolExecutor(workers) as pool:
            return self._processes.gather(list(follow(pool.map(run, own), len(own), self.stage, "parts")))

    def _embed_batch(self, extractor: ImageExtractor, files: Sequence[ImageFile]) -> Features:
        batch = torch.stack([extractor.prepare(open_rgb(file.path)) for file in files])
        padding = batch.new_zeros(self.batch_size - len(files), *batch.shape[1:])
        return to_numpy(extractor.embed_images(torch.cat([batch, padding]).to(self.device))[: len(files)])


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Makes kernels fp32 without TF32, deterministic, and on the CPU single-threaded.

    Yields:
        Nothing; threads and TF32 are as before afterwards.
    """
    threads, tf32 = torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cuda.matmul.allow_tf32 = tf32


def image_file(path: Path) -> ImageFile:
    """Returns an existing image with its hash.

    Args:
        path: Where it should be.

    Returns:
        The file.

    Raises:
        MetricError: There is no such file.
    """
    if not has_file(path):
        raise MetricError(f"{path}: no such image")
    return ImageFile(path, sha256_file(path))


def open_rgb(path: Path) -> Image.Image:
    """Decodes an image that an earlier stage wrote.

    Args:
        path: A PNG file.

    Returns:
        An sRGB uint8 image.

    Raises:
        MetricError: The file cannot be decoded, or is not 8-bit RGB: a conversion here would hide a bug there.
    """
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError) as error:
        raise MetricError(f"{path}: cannot be decoded: {error}") from error
    if image.mode != "RGB":
        raise MetricError(f"{path}: expected an 8-bit RGB image, found mode {image.mode}")
    return image


def unit_vector(feature: Features, source: str) -> Features:
    """Scales a feature to length 1.

    Args:
        feature: Shape (D,).
        source: What it describes, for the message.

    Returns:
        The unit vector.

    Raises:
        MetricError: The feature is not finite, or is zero.
    """
    norm = float(np.linalg.norm(feature))
    if not np.isfinite(norm) or norm == 0.0:
        raise MetricError(f"{source}: the feature's length is {norm}, expected a positive number")
    return feature / norm


def to_numpy(values: Tensor) -> Features:
    """Returns a tensor's values in double precision on the CPU."""
    return np.asarray(values.double().cpu().numpy(), dtype=np.float64)
