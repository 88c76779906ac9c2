"""What the stages that draw images share: settings, device, and the cache of images drawn before."""

import json
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import torch
from omegaconf import DictConfig
from PIL import Image

from src.core.config import to_dict
from src.core.errors import ConfigError
from src.core.files import sha256_bytes
from src.core.provenance import code_digest
from src.core.sealed import read_sealed, write_sealed
from src.core.weights import find_model, model_patterns
from src.models.base import DTYPES
from src.models.families import check_resolution
from src.sampling.generator import DrawSettings, Job
from src.sampling.samplers import check_fit
from src.training.determinism import numerics

PNG_LEVEL = 6


def draw_settings(params: DictConfig) -> DrawSettings:
    """Reads how images are drawn, and checks it.

    Args:
        params: A stage's parameters.

    Returns:
        The settings.

    Raises:
        ConfigError: A value cannot work.
    """
    values = params.validation_args
    if values.dtype not in DTYPES:
        raise ConfigError(f"validation_args.dtype={values.dtype}: expected one of {', '.join(DTYPES)}")
    settings = DrawSettings(
        resolution=params.model.resolution,
        num_images_per_prompt=values.num_images_per_prompt,
        num_inference_steps=values.num_inference_steps,
        guidance_scale=values.guidance_scale,
        negative_prompt=values.negative_prompt,
        batch_size=values.batch_size,
        seed=values.seed,
        sampler=params.sampler.class_name,
        sampler_options=to_dict(params.sampler.options),
        dtype=values.dtype,
    )
    settings.check("validation_args")
    return settings


def check_base(params: DictConfig, settings: DrawSettings) -> None:
    """Checks against the files of the base model what would fail only when it draws.

    Args:
        params: A stage's parameters.
        settings: How images are drawn.

    Raises:
        ConfigError: Resolution or sampler do not fit the base model.
        MissingModelError: The base model is not on this machine.
        ModelMismatchError: Its files are not what they should be.
    """
    spec = params.model
    model = find_model(spec.id, spec.revision, model_patterns(spec.variant))
    check_resolution(model, settings.resolution)
    check_fit(settings.sampler, settings.sampler_options, settings.num_inference_steps, model)


def png_bytes(image: Image.Image) -> bytes:
    """Encodes an image losslessly and without metadata; the same pixels give the same bytes."""
    stream = BytesIO()
    image.save(stream, "PNG", compress_level=PNG_LEVEL)
    return stream.getvalue()


@dataclass(frozen=True)
class SampleCache:
    """Images drawn before, each under a name made of all that decides it; a killed run goes on where it was.

    Attributes:
        folder: Where they are.
        setting: Names base model, device and settings.
    """

    folder: Path
    setting: str

    @staticmethod
    def open(folder: Path, model: str, device: torch.device, settings: DrawSettings, by: str) -> "SampleCache":
        """Opens the cache for one base model and one way of drawing.

        Args:
            folder: Where the images are.
            model: Names the base model's weights.
            device: CPU and GPU differ in the last bits.
            settings: How images are drawn.
            by: The module that draws.

        Returns:
            The cache.
        """
        named = {"model": model, "device": device.type, "code": code_digest(by), "numerics": numerics()}
        parts = {**named, **asdict(settings)}
        del parts["num_images_per_prompt"]
        return SampleCache(folder, json.dumps(parts, sort_keys=True))

    def path(self, adapter: str, job: Job) -> Path:
        """Returns where an image is kept.

        Args:
            adapter: Hash of the adapter's weights, empty for the base model.
            job: What is drawn.

        Returns:
            A file that may exist.
        """
        key = "\0".join([self.setting, adapter, job.prompt.id, job.text, str(job.seed)])
        return self.folder / f"{sha256_bytes(key.encode())}.png"

    def get(self, adapter: str, job: Job) -> bytes | None:
        """Returns an image as PNG, or None if it was not drawn yet or is damaged; arguments as of `path`."""
        return read_sealed(self.path(adapter, job))

    def put(self, adapter: str, job: Job, image: Image.Image) -> None:
        """Keeps an image."""
        write_sealed(self.path(adapter, job), png_bytes(image))
