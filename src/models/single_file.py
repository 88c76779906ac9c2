"""Loads single-file checkpoints by diffusers' own converters; settings and tokenizers come from a diffusers folder."""

import json
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, DiffusionPipeline
from diffusers.loaders.single_file_utils import SingleFileComponentError
from safetensors import SafetensorError

from src.core.errors import ModelMismatchError
from src.core.single_file import read_contents
from src.models import pipelines

# never used here, and not always there
UNUSED = ("safety_checker", "feature_extractor", "image_encoder")
ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
FAILURES = (OSError, ValueError, LookupError, RuntimeError, SafetensorError, SingleFileComponentError)


def check_file(file: Path, folder: Path) -> None:
    """Compares a single-file checkpoint with the settings that it is to be read with.

    Args:
        file: The checkpoint.
        folder: A diffusers folder.

    Raises:
        ModelMismatchError: They are of different models, or only one of them predicts velocity.
    """
    contents, wanted = read_contents(file), _index(folder)["_class_name"]
    if contents.pipeline != wanted:
        raise ModelMismatchError(
            f"{file}: a {contents.pipeline}, and {folder} has the settings of a {wanted}; choose the model= of its kind"
        )
    if contents.velocity:
        scheduler = folder / "scheduler/scheduler_config.json"
        if (says := pipelines.read_setting(scheduler, "prediction_type", str)) != "v_prediction":
            raise ModelMismatchError(f"{file}: predicts velocity, and {scheduler} says {says}; take a folder that fits")


def load_single_file(file: Path, folder: Path, dtype: torch.dtype, device: torch.device) -> DiffusionPipeline:
    """Loads a pipeline; what the file lacks comes from the folder.

    Args:
        file: The checkpoint, as `check_file` has found it.
        folder: A diffusers folder.
        dtype: Of everything but the VAE, which is float32.
        device: Where to.

    Returns:
        The pipeline, frozen and in eval mode.

    Raises:
        ModelMismatchError: A weight is missing or has another shape than the folder's settings say.
    """
    index, contents = _index(folder), read_contents(file)
    given: dict[str, Any] = {name: None for name in UNUSED if name in index} | {"vae": load_vae(file, folder)}
    if "requires_safety_checker" in index:
        given["requires_safety_checker"] = False
    try:
        for name in ENCODERS:
            if name in index and name not in contents.parts:
                given |= _encoder(folder, name, index[name][1], dtype)
        pipeline: DiffusionPipeline = getattr(diffusers, contents.pipeline).from_single_file(
            str(file), config=str(folder), torch_dtype=dtype, local_files_only=True, **given
        )
    except FAILURES as error:
        raise _mismatch(file, folder, error) from error
    for name, part in pipeline.components.items():
        if isinstance(part, torch.nn.Module):
            _check_whole(file, name, part)
    return pipelines.prepare(pipeline, device)


def load_vae(file: Path, folder: Path) -> AutoencoderKL:
    """Loads the VAE of a single-file checkpoint in float32, or that of the folder if the file has none.

    Args:
        file: The checkpoint.
        folder: A diffusers folder.

    Returns:
        The VAE, on the CPU.

    Raises:
        ModelMismatchError: It cannot be loaded.
    """
    options = {"torch_dtype": torch.float32, "local_files_only": True}
    try:
        if "vae" in read_contents(file).parts:
            vae = AutoencoderKL.from_single_file(str(file), config=str(folder), subfolder="vae", **options)
        else:
            vae = AutoencoderKL.from_pretrained(folder / "vae", use_safetensors=True, **options)
    except FAILURES as error:
        raise _mismatch(file, folder, error) from error
    return vae


def _encoder(folder: Path, name: str, class_name: str, dtype: torch.dtype) -> dict[str, Any]:
    """Loads a text encoder from the folder; diffusers looks for it there under a VAE's file name (0.42.1)."""
    if name == "text_encoder_3" and not (folder / name).is_dir():
        # most of what there is to download, and the model works without it
        return {name: None, "tokenizer_3": None}
    options = {"dtype": dtype, "local_files_only": True, "use_safetensors": True}
    return {name: getattr(transformers, class_name).from_pretrained(folder / name, **options)}


def _check_whole(file: Path, name: str, part: torch.nn.Module) -> None:
    """Refuses a text encoder with weights that did not come: diffusers leaves those without values, without a word."""
    if lost := [key for key, weight in part.state_dict().items() if weight.is_meta]:
        raise ModelMismatchError(f"{file}: lacks {len(lost)} weights of the {name}, first {lost[0]}")


def _mismatch(file: Path, folder: Path, error: Exception) -> ModelMismatchError:
    if isinstance(error, NotImplementedError):  # as torch calls it to move a weight that has no values
        return ModelMismatchError(f"{file}: lacks weights that the settings in {folder} tell of")
    return ModelMismatchError(f"{file}: does not fit the settings in {folder}: {' '.join(str(error).split())[:200]}")


def _index(folder: Path) -> dict[str, Any]:
    index: dict[str, Any] = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    return index
