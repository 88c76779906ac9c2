"""What an adapter is written as: one function for each layout of files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from src.core.errors import ModelMismatchError
from src.core.files import has_file
from src.exporting.header import as_json
from src.methods.formats import find_format
from src.methods.kohya import FULL, SIDES, layer_name, to_changes, to_kohya, to_lycoris
from src.methods.lora_files import WEIGHTS, read_adapter
from src.methods.lora_header import FACTOR, HEADER_KEY, MAGNITUDE, layer_alphas, layer_ranks
from src.methods.t_lora import WEIGHTS as MASKED
from src.methods.textual_inversion import WEIGHTS as WORDS
from src.methods.textual_inversion import TextualInversionFormat
from src.methods.tuner import WEIGHTS as TUNED
from src.methods.tuner import read_tuner, tuner_name
from src.models.base import BaseModel

# of tuners, those that tools read as they are
LYCORIS = ("loha", "lokr")


@dataclass(frozen=True)
class Exported:
    """A file for other tools.

    Attributes:
        tensors: By name.
        module: ``ss_network_module``.
        metadata: What the header says beside what all files say.
        notes: What a person should know of it.
    """

    tensors: dict[str, Tensor]
    module: str
    metadata: dict[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """What is written.

    Attributes:
        folder: A checkpoint.
        xl: Whether its base model is an SDXL.
        transformer: Whether its base model has a transformer in place of a UNet.
        load: Loads the base model, on the CPU in float32.
    """

    folder: Path
    xl: bool
    transformer: bool
    load: Callable[[], BaseModel]


def small(source: Source) -> Exported:
    """Writes factors in kohya's or LyCORIS's layout.

    Args:
        source: What is written.

    Returns:
        The file.

    Raises:
        ModelMismatchError: There is no such layout for it.
    """
    if has_file(source.folder / TUNED):
        tensors, config = read_tuner(source.folder)
        tuner = tuner_name(config)
        if tuner not in LYCORIS or source.transformer:
            raise ModelMismatchError(
                f"{source.folder}: no tool reads the factors of {tuner} on this base model: {FULL}"
            )
        renamed = to_lycoris(tensors, tuner, config.r, config.alpha, source.xl)
        return Exported(renamed, "lycoris.kohya", {"ss_network_args": f'{{"algo": "{tuner}"}}'})
    tensors, sizes = to_kohya(*_read_lora(source), source.xl)
    return Exported(tensors, "networks.lora", sizes, _notes(source))


def diffusers(source: Source) -> Exported:
    """Writes the factors of a LoRA as diffusers, ComfyUI and trainers for transformers do.

    Alpha goes into the factors: the header is read by diffusers alone.

    Args:
        source: What is written.

    Returns:
        The file.

    Raises:
        ModelMismatchError: It is no LoRA.
    """
    tensors, metadata = _in_one_scale(*_read_lora(source))
    return Exported({name: tensor.half() for name, tensor in tensors.items()}, "", metadata, _notes(source))


def full(source: Source) -> Exported:
    """Writes the change of every weight of the denoiser: exact for every method, and as large as its layers.

    Args:
        source: What is written.

    Returns:
        The file.

    Raises:
        ModelMismatchError: The change is not the same at every noise level, or also one of text encoders.
    """
    found = find_format(source.folder)
    if found is None or MASKED in found.files or isinstance(found, TextualInversionFormat):
        raise ModelMismatchError(f"{source.folder}: changes no weights of the denoiser, or not the same in every step")
    model = source.load()
    found.check_fit(model, source.folder)
    changes, own = found.changes(model, source.folder), f"{model.denoiser_name}."
    if others := sorted(name for name, change in changes.items() if not name.startswith(own) and change.any()):
        raise ModelMismatchError(f"{source.folder}: changes {others[0]}, too; --layout full writes the denoiser alone")
    name = partial(_dotted, model.denoiser_name) if source.transformer else partial(_unet, source.xl)
    tensors = to_changes(
        {key.removeprefix(own): change for key, change in changes.items() if key.startswith(own)}, name
    )
    return Exported(tensors, "lycoris.kohya", {"ss_network_args": '{"algo": "full"}'}, _notes(source))


LAYOUTS: dict[str, Callable[[Source], Exported]] = {"kohya": small, "diffusers": diffusers, "full": full}


def _unet(xl: bool, layer: str) -> str:
    return layer_name("unet", layer, xl)


def _dotted(component: str, layer: str) -> str:
    return f"{component}.{layer}"


def _in_one_scale(tensors: dict[str, Tensor], metadata: dict[str, str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Multiplies B by alpha / rank, so that alpha is the rank, which readers without the header take it for."""
    ranks = layer_ranks(tensors)
    alphas = layer_alphas("the adapter", metadata, ranks)
    scaled = dict(tensors)
    for layer, rank in ranks.items():
        name = f"{layer}.lora_B.weight"
        scaled[name] = tensors[name] * (alphas.get(layer, rank) / rank)
    note: dict[str, Any] = {}
    for component in sorted({layer.partition(".")[0] for layer in ranks}):
        own = {layer.partition(".")[2]: rank for layer, rank in ranks.items() if layer.startswith(f"{component}.")}
        others = {layer: rank for layer, rank in own.items() if rank != min(own.values())}
        said: dict[str, Any] = {"r": min(own.values()), "lora_alpha": min(own.values()), "target_modules": sorted(own)}
        said |= {"rank_pattern": others, "alpha_pattern": others} if others else {}
        said["use_dora"] = any(name.startswith(f"{component}.") and name.endswith(MAGNITUDE) for name in tensors)
        note |= {f"{component}.{key}": value for key, value in said.items()}
    return scaled, {HEADER_KEY: as_json(note)}


def _check_factors(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuses a layer of which a factor is missing, has no number, or does not fit the other."""
    sides: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
            raise ModelMismatchError(f"{folder}: {name[:200]} holds what is no finite number")
        if match := FACTOR.fullmatch(name):
            sides.setdefault(match["layer"], {})[SIDES[match["new"] or match["old"]]] = tensor
    for layer, found in sides.items():
        down, up = found.get("down"), found.get("up")
        if down is None or up is None or min(down.ndim, up.ndim) < 2 or down.shape[0] != up.shape[1]:
            raise ModelMismatchError(f"{folder}: the two factors of {layer[:200]} do not fit each other")


def _read_lora(source: Source) -> tuple[dict[str, Tensor], dict[str, str]]:
    if has_file(source.folder / WORDS) and not has_file(source.folder / WEIGHTS):
        raise ModelMismatchError(
            f"{source.folder}: nothing but vectors of a new word: use {source.folder / WORDS} as an embedding"
        )
    name = MASKED if has_file(source.folder / MASKED) else WEIGHTS
    if not has_file(source.folder / name):
        raise ModelMismatchError(f"{source.folder}: holds no LoRA: {FULL}")
    tensors, metadata = read_adapter(source.folder, name)
    _check_factors(source.folder, tensors)
    return tensors, metadata


def _notes(source: Source) -> tuple[str, ...]:
    notes = []
    if has_file(source.folder / WORDS):
        notes.append(f"its token's vectors are not in there: use {source.folder / WORDS} beside it, as an embedding")
    if has_file(source.folder / MASKED):
        notes.append(
            "it has all ranks at every noise level there, which such files cannot say otherwise: its images differ"
        )
    return tuple(notes)
