"""Images generated before, so that a killed run goes on where it was and a second one generates nothing twice."""

import json
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from src.core.files import sha256_bytes
from src.core.sealed import read_sealed, write_sealed
from src.sampling.generator import Job, SamplingSettings

PNG_LEVEL = 6
# threads that encode, and images that may wait for them
WRITERS, MAX_PENDING = 2, 16


def png_bytes(image: Image.Image, texts: Mapping[str, str] | None = None) -> bytes:
    """Encodes an image losslessly, without metadata but these texts; the same pixels and texts give the same bytes.

    Args:
        image: RGB.
        texts: Text chunks by keyword.

    Returns:
        A PNG whose text stands before its pixels, as Latin-1 where that can write it.
    """
    stream, chunks = BytesIO(), PngInfo()
    for keyword, text in (texts or {}).items():
        chunks.add_text(keyword, text)
    image.save(stream, "PNG", compress_level=PNG_LEVEL, pnginfo=chunks)
    return stream.getvalue()


@dataclass(frozen=True)
class SampleCache:
    """Images generated before, each under a name made of all that decides it; a killed run goes on where it was.

    Attributes:
        folder: Where they are.
        setting: Names base model, device and settings.
    """

    folder: Path
    setting: str

    @staticmethod
    def open(folder: Path, model: str, device: torch.device, settings: SamplingSettings, code: str) -> "SampleCache":
        """Opens the cache for one base model and one way of generating.

        Args:
            folder: Where the images are.
            model: Names the base model's weights.
            device: CPU and GPU differ in the last bits.
            settings: How images are generated.
            code: Names the code that generates, and its arithmetic settings.

        Returns:
            The cache.
        """
        parts = {"model": model, "device": device.type, "code": code, **settings.named()}
        return SampleCache(folder, json.dumps(parts, sort_keys=True))

    def path(self, adapter: str, job: Job) -> Path:
        """Returns where an image is kept.

        Args:
            adapter: Hash of the adapter's weights, empty for the base model.
            job: What is generated.

        Returns:
            A file that may exist.
        """
        # a seed of its own, unlike a number, gives the same noise to every prompt
        noise = (
            [job.prompt.id, job.text, str(job.seed)] if job.noise_seed is None else ["", job.text, f"={job.noise_seed}"]
        )
        key = "\0".join([self.setting, adapter, *noise])
        return self.folder / f"{sha256_bytes(key.encode())}.png"

    def get(self, adapter: str, job: Job) -> bytes | None:
        """Returns an image as PNG, or None if it was not generated yet or is damaged; arguments as of `path`."""
        return read_sealed(self.path(adapter, job))

    def put(self, adapter: str, job: Job, image: Image.Image) -> None:
        """Keeps an image."""
        write_sealed(self.path(adapter, job), png_bytes(image))


def put_all(cache: SampleCache, adapter: str, images: Iterable[tuple[Job, Image.Image]]) -> None:
    """Keeps images while the next ones are generated: encoding a PNG takes a tenth of a second, and no GPU.

    Args:
        cache: Where they are kept.
        adapter: As of `SampleCache.path`.
        images: Generated one after the other; those that came are kept where generating ends early.

    Raises:
        OSError: One cannot be written; those that were generated meanwhile may be lost.
    """
    pending: deque[Future[None]] = deque()
    with ThreadPoolExecutor(WRITERS) as writers:
        for job, image in images:
            pending.append(writers.submit(cache.put, adapter, job, image))
            while pending and (pending[0].done() or len(pending) > MAX_PENDING):
                pending.popleft().result()
    for written in pending:
        written.result()
