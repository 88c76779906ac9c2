"""The adapter's file: saved in the diffusers format, loaded with every key accounted for.

Text encoders' layers are called text_model.* in files, whatever the installed transformers calls them: so do all tools
that read such files.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import _collate_lora_metadata
from peft import LoraConfig, get_peft_model_state_dict
from torch import Tensor

from src.core.errors import ModelMismatchError
from src.core.files import write_bytes
from src.methods.files import read_tensors
from src.methods.lora_header import FACTOR, HEADER_KEY, MAGNITUDE, WRAPPER, layer_alphas, layer_ranks, lora_settings
from src.methods.peft_layers import ADAPTER, adapted, put_on, take_off
from src.models.base import BaseModel, adaptable
from src.models.tensors import canonical_bytes, disk_errors, fill, save_tensors

WEIGHTS = "pytorch_lora_weights.safetensors"


def save_adapter(model: BaseModel, folder: Path) -> None:
    """Writes the adapter as diffusers does, with rank and alpha in the header; the same adapter gives the same bytes.

    Args:
        model: A base with adapters attached.
        folder: Where to; made when missing.
    """
    layers = {
        f"{name}_lora_layers": {_file_name(model, name, key): tensor for key, tensor in state.items()}
        for name, state in _layers(model).items()
    }
    metadata = {key: _portable(value) for key, value in _collate_lora_metadata(adapted(model)).items()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / WEIGHTS
    with disk_errors(path):
        model.pipeline.save_lora_weights(folder, **layers, **metadata)
    write_bytes(path, canonical_bytes(path.read_bytes()))


def save_factors(
    model: BaseModel, path: Path, factors: Mapping[str, Tensor], notes: Mapping[str, Any], origin: Mapping[str, str]
) -> None:
    """Writes the denoiser's factors in the diffusers format, where they are more than what peft would save.

    Args:
        model: A base with an adapter attached.
        path: The file; its folder is made when missing.
        factors: By peft's names, ``component.layer.lora_A.weight``.
        notes: Beside rank and alpha in the header; tools that take the header for peft's settings refuse unknown ones.
        origin: What else the header says, which other tools do not read.
    """
    name = model.denoiser_name
    settings = _portable(adapted(model)[name].peft_config[ADAPTER].to_dict()) | dict(notes)
    note = json.dumps({f"{name}.{key}": value for key, value in settings.items()}, indent=2, sort_keys=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, dict(factors), {"format": "pt", HEADER_KEY: note, **origin})


def _layers(model: BaseModel) -> dict[str, dict[str, Tensor]]:
    return {name: get_peft_model_state_dict(module, adapter_name=ADAPTER) for name, module in adapted(model).items()}


def _portable(config: dict[str, Any]) -> dict[str, Any]:
    """Drops the path of the base model on this machine and gives sets an order."""
    kept = {key: value for key, value in config.items() if key != "base_model_name_or_path"}
    return {key: sorted(value) if isinstance(value, set) else value for key, value in kept.items()}


def read_adapter(folder: Path, name: str = WEIGHTS) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads an adapter file.

    Args:
        folder: A checkpoint folder.
        name: The file in it.

    Returns:
        Tensors and metadata, by name.

    Raises:
        ModelMismatchError: The file is missing, damaged or far too large.
    """
    return read_tensors(folder, name)


def load_adapter(model: BaseModel, folder: Path, file: str = WEIGHTS) -> None:
    """Loads an adapter for inference in place of an earlier one; every tensor must find its layer.

    The layers are made from the tensors and filled by us: diffusers would read the header, which may name any pattern
    or class, and would round the factors to the base's precision.

    Args:
        model: The base.
        folder: A checkpoint folder.
        file: The file in it.

    Raises:
        ModelMismatchError: The file is missing or damaged, or was made for another base.
    """
    path, (tensors, metadata) = folder / file, read_adapter(folder, file)
    check_fit(model, path, tensors)
    tensors = _as_peft(model, tensors)
    settings = lora_settings(path, tensors, metadata)
    take_off(model)
    with torch.random.fork_rng(devices=[]):
        for name, module in adaptable(model).items():
            if name in settings:
                put_on(module, LoraConfig(**settings[name]))
    _fill(model, tensors, f"{path}: {{}} tensors did not arrive in the base model, first {{}}")


def start_adapter(model: BaseModel, folder: Path) -> None:
    """Gives a freshly attached adapter the values of a saved one, to go on training from.

    Args:
        model: A base with an adapter attached.
        folder: A checkpoint folder.

    Raises:
        ModelMismatchError: The file is missing or damaged, or its adapter has other layers, another rank or alpha.
    """
    path, (tensors, metadata) = folder / WEIGHTS, read_adapter(folder)
    check_fit(model, path, tensors)
    tensors = _as_peft(model, tensors)
    check_alpha(model, path, tensors, metadata)
    _fill(model, tensors, f"{path}: {{}} tensors differ from what `method` trains, first {{}}")


def check_alpha(model: BaseModel, path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Compares a saved adapter's alpha with what is attached.

    Args:
        model: A base with an adapter attached.
        path: For the message.
        tensors: By peft's names.
        metadata: Of the safetensors header.

    Raises:
        ModelMismatchError: It is another.
    """
    alphas = {name: module.peft_config[ADAPTER].lora_alpha for name, module in adapted(model).items()}
    lora_settings(path, tensors, metadata)  # refuses a header that does not fit
    for layer, alpha in layer_alphas(path, metadata, layer_ranks(tensors)).items():
        name = layer.partition(".")[0]
        if name in alphas and alpha != alphas[name]:
            raise ModelMismatchError(f"{path}: {name} has alpha {alpha:g}, `method` trains with {alphas[name]:g}")


def _fill(model: BaseModel, tensors: dict[str, Tensor], complaint: str) -> None:
    own = {f"{part}.{name}": tensor for part, layers in _layers(model).items() for name, tensor in layers.items()}
    fill(own, tensors, complaint)


def _file_name(model: BaseModel, component: str, name: str) -> str:
    return WRAPPER + name if _is_subject_only(model, component) else name


def _is_subject_only(model: BaseModel, component: str) -> bool:
    return component in model.adaptable_encoders and not hasattr(getattr(model.pipeline, component), "text_model")


def _peft_name(model: BaseModel, name: str) -> str:
    match = FACTOR.fullmatch(name)
    old = {"down": "A", "up": "B"}.get(match["old"]) if match else None  # what files of older versions say
    name = f"{match['layer']}.lora_{old}.weight" if match and old else name
    component, _, rest = name.partition(".")
    return f"{component}.{rest.removeprefix(WRAPPER)}" if _is_subject_only(model, component) else name


def _as_peft(model: BaseModel, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names and shapes tensors that `check_fit` has let through as peft does."""
    layers, found = _layers_by_name(model), {}
    for name, tensor in tensors.items():
        renamed = _peft_name(model, name)
        match = FACTOR.fullmatch(renamed)
        if match:
            wanted = layers[match["layer"]].weight.ndim
            if tensor.ndim != wanted:
                tensor = tensor.reshape(*tensor.shape[:2], *[1] * (wanted - 2))
        found[renamed] = tensor
    return found


def _dimensions(tensor: Tensor, wanted: int) -> int:
    """Returns a factor's dimensions: a matrix and a convolution of one pixel may be written as each other.

    kohya's scripts for SD 2.x have convolutions where diffusers has matrices.
    """
    return wanted if wanted in (2, 4) and tensor.ndim in (2, 4) and tensor.shape[2:].numel() == 1 else tensor.ndim


def _layers_by_name(model: BaseModel) -> dict[str, Any]:
    return {
        f"{component}.{name}": getattr(layer, "base_layer", layer)
        for component, module in adaptable(model).items()
        for name, layer in module.named_modules()
    }


def check_fit(model: BaseModel, path: Path, tensors: dict[str, Tensor]) -> None:
    """Compares an adapter's shapes with the base's layers.

    Args:
        model: The base, with or without adapters.
        path: For the message.
        tensors: The adapter file's content.

    Raises:
        ModelMismatchError: A layer is missing or has another width.
    """
    layers = _layers_by_name(model)
    if not any(FACTOR.fullmatch(name) for name in tensors):
        raise ModelMismatchError(f"{path}: holds no LoRA layers in the diffusers format")
    for name, tensor in tensors.items():
        match = FACTOR.fullmatch(_peft_name(model, name))
        if match is None:
            if name.endswith(MAGNITUDE) and _peft_name(model, name).removesuffix(MAGNITUDE) in layers:
                continue
            raise ModelMismatchError(f"{path}: {name[:200]!r} is no LoRA layer of the base model")
        weight = getattr(layers.get(match["layer"]), "weight", None)
        if weight is None:
            raise ModelMismatchError(f"{path}: adapts {match['layer']}, which the base model does not have")
        axis = 1 if match["new"] == "A" else 0
        if _dimensions(tensor, weight.ndim) != weight.ndim:
            raise ModelMismatchError(f"{path}: {name} has {tensor.ndim} dimensions, expected {weight.ndim}")
        if tensor.shape[axis] != weight.shape[axis]:
            raise ModelMismatchError(
                f"{path}: {name} has width {tensor.shape[axis]}, the base model's layer {weight.shape[axis]}; "
                "it was trained on another base model"
            )
