"""What an adapter is written as: one function for each layout of files."""

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from peft import LoraConfig
from torch import Tensor

from src.core.errors import ModelMismatchError
from src.core.files import has_file
from src.exporting.header import as_json
from src.methods.formats import find_format
from src.methods.kohya import FULL, SIDES, layer_name, to_changes, to_kohya, to_lycoris
from src.methods.lora_files import WEIGHTS, read_adapter
from src.methods.lora_header import FACTOR, HEADER_KEY, recorded_numbers
from src.methods.t_lora import WEIGHTS as MASKED
from src.methods.textual_inversion import WEIGHTS as WORDS
from src.methods.textual_inversion import TextualInversionFormat
from src.methods.tuner import WEIGHTS as TUNED
from src.methods.tuner import read_tuner, tuner_name
from src.models.base import BaseModel, denoiser

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
    if has_file(source.folder / WEIGHTS) and any(
        name.startswith("text_encoder") for name in read_adapter(source.folder)[0]
    ):
        raise ModelMismatchError(f"{source.folder}: of text encoders, too, which --layout full does not write")
    model = source.load()
    found.check_fit(model, source.folder)
    before = {name: value.clone() for name, value in _parameters(model)}
    with found.applied(model, source.folder):
        name = partial(_dotted, model.denoiser_name) if source.transformer else partial(_unet, source.xl)
        after = {key: value for key, value in _parameters(model) if key in before}
        tensors = to_changes(before, after, name)
    return Exported(tensors, "lycoris.kohya", {"ss_network_args": '{"algo": "full"}'}, _notes(source))


LAYOUTS: dict[str, Callable[[Source], Exported]] = {"kohya": small, "diffusers": diffusers, "full": full}


def _unet(xl: bool, layer: str) -> str:
    return layer_name("unet", layer, xl)


def _dotted(component: str, layer: str) -> str:
    return f"{component}.{layer}"


def _parameters(model: BaseModel) -> list[tuple[str, Tensor]]:
    """Lists a denoiser's own parameters, by their names without an adapter."""
    own = [(name.replace(".base_layer", ""), value.detach()) for name, value in denoiser(model).named_parameters()]
    return own


def _in_one_scale(tensors: dict[str, Tensor], metadata: dict[str, str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Multiplies B by alpha / rank, so that alpha is the rank, which readers without the header take it for."""
    alphas, ranks = (recorded_numbers("the adapter", metadata, key) for key in ("lora_alpha", "r"))
    scaled = dict(tensors)
    for name, tensor in tensors.items():
        match = FACTOR.fullmatch(name)
        component = name.partition(".")[0]
        if match and SIDES[match["new"] or match["old"]] == "up" and component in alphas:
            scaled[name] = tensor * (alphas[component] / tensor.shape[1])
    known = {field.name for field in fields(LoraConfig)}
    said = json.loads(metadata.get(HEADER_KEY, "{}"))
    kept = {key: value for key, value in said.items() if key.rpartition(".")[2] in known}
    return scaled, {HEADER_KEY: as_json(kept | {f"{name}.lora_alpha": rank for name, rank in ranks.items()})}


def _read_lora(source: Source) -> tuple[dict[str, Tensor], dict[str, str]]:
    if has_file(source.folder / WORDS) and not has_file(source.folder / WEIGHTS):
        raise ModelMismatchError(
            f"{source.folder}: nothing but vectors of a new word: use {source.folder / WORDS} as an embedding"
        )
    if has_file(source.folder / MASKED):
        return read_adapter(source.folder, MASKED)
    if not has_file(source.folder / WEIGHTS):
        raise ModelMismatchError(f"{source.folder}: holds no LoRA: {FULL}")
    return read_adapter(source.folder)


def _notes(source: Source) -> tuple[str, ...]:
    notes = []
    if has_file(source.folder / WORDS):
        notes.append(f"its token's vectors are not in there: use {source.folder / WORDS} beside it, as an embedding")
    if has_file(source.folder / MASKED):
        notes.append(
            "it has all ranks at every noise level there, which such files cannot say otherwise: its images differ"
        )
    return tuple(notes)
