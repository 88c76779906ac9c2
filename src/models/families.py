"""The table of base models: a family is chosen by the class that a model's model_index.json names."""

import json
from math import prod
from pathlib import Path
from typing import get_type_hints

import torch

from src.core.errors import ConfigError, ModelMismatchError
from src.core.single_file import is_single_file
from src.core.weights import find_model, model_patterns
from src.models.base import DTYPES, BaseModel
from src.models.flux import Flux
from src.models.sd import StableDiffusion
from src.models.sd3 import StableDiffusion3
from src.models.sdxl import StableDiffusionXL
from src.models.single_file import check_file, load_single_file
from src.noise.flow import RectifiedFlow

Family = type[StableDiffusion] | type[StableDiffusionXL] | type[StableDiffusion3] | type[Flux]
FAMILIES: dict[str, Family] = {
    "StableDiffusionPipeline": StableDiffusion,
    "StableDiffusionXLPipeline": StableDiffusionXL,
    "StableDiffusion3Pipeline": StableDiffusion3,
    "FluxPipeline": Flux,
}


def load_base_model(
    model_id: str,
    revision: str | None,
    variant: str | None,
    dtype: str,
    device: torch.device,
    config: str | None = None,
) -> BaseModel:
    """Loads a base model, frozen and in eval mode.

    Args:
        model_id: A folder, a hub id or a single-file checkpoint.
        revision: The pinned commit of a hub id; None for a folder.
        variant: Which weight files of the repository, for example ``fp16``; None for the plain ones.
        dtype: ``fp32``, ``bf16`` or ``fp16``, for everything but the VAE.
        device: Where to.
        config: Folder or hub id of what a single-file checkpoint lacks.

    Returns:
        The model.

    Raises:
        MissingModelError: It is not on this machine.
        ModelMismatchError: The files describe another architecture, or are damaged.
    """
    folder = find_model(model_id, revision, model_patterns(variant), config)
    family = read_family(folder)
    if is_single_file(model_id):
        check_file(Path(model_id), folder)
        return family.of(load_single_file(Path(model_id), folder, DTYPES[dtype], device), device)
    return family.load(folder, variant, DTYPES[dtype], device)


def read_family(folder: Path) -> Family:
    """Reads of which family a model is.

    Args:
        folder: A diffusers model folder.

    Returns:
        A class of BaseModels.

    Raises:
        ModelMismatchError: It is no diffusers folder, or of an architecture that is not supported.
    """
    index = folder / "model_index.json"
    if not index.is_file():
        raise ModelMismatchError(f"{folder}: no model_index.json, so not a diffusers model folder")
    try:
        name = str(json.loads(index.read_text(encoding="utf-8")).get("_class_name"))
    except ValueError as error:
        raise ModelMismatchError(f"{index}: not valid JSON: {error}") from error
    if name not in FAMILIES:
        raise ModelMismatchError(f"{index}: _class_name is {name}, expected one of {', '.join(FAMILIES)}")
    return FAMILIES[name]


def learns_flow(folder: Path) -> bool:
    """Says, before a model is loaded, whether it predicts a flow; folder and errors as of `read_family`."""
    return get_type_hints(read_family(folder))["process"] is RectifiedFlow


def check_resolution(model: Path, resolution: int, key: str = "model.resolution") -> None:
    """Refuses sides that the parts of a model cannot divide.

    Args:
        model: The base model's folder.
        resolution: Side, pixels.
        key: The setting, for the message.

    Raises:
        ConfigError: It is no multiple of what the parts need together.
        ModelMismatchError: The model's files do not say, or it is of an architecture that is not supported.
    """
    divisors = read_family(model).divisors(model)
    step = prod(divisors.values())
    if resolution < step or resolution % step:
        below = max(resolution // step, 1) * step
        (first, by), *others = divisors.items()
        reasons = [f"the {first} of {model} divides by {by}", *(f"its {part} by {by}" for part, by in others)]
        raise ConfigError(
            f"{key}={resolution}: expected a multiple of {step}, for example {below} or {below + step}: "
            + ", ".join(reasons)
        )
