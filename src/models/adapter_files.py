"""The adapter's file: saved in the diffusers format, loaded with every key accounted for.

Text encoders' layers are called text_model.* in files, whatever the installed transformers calls them: so do all tools
that read such files.
"""

from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import _collate_lora_metadata
from peft import get_peft_model_state_dict
from torch import Tensor

from src.core.errors import ModelMismatchError
from src.core.files import has_file, write_bytes
from src.models.adapter_header import FACTOR, MAGNITUDE, check_size, lora_settings
from src.models.lora import adapted, make_float32, unload_adapter
from src.models.stable_diffusion import StableDiffusion
from src.models.tensors import canonical_bytes, disk_errors, load_tensors

WEIGHTS = "pytorch_lora_weights.safetensors"
ADAPTER = "default"
# what older transformers had around every text encoder, and newer ones around some
WRAPPER = "text_model."


def save_adapter(model: StableDiffusion, folder: Path) -> None:
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


def _layers(model: StableDiffusion) -> dict[str, dict[str, Tensor]]:
    return {name: get_peft_model_state_dict(module, adapter_name=ADAPTER) for name, module in adapted(model).items()}


def _all_layers(model: StableDiffusion) -> dict[str, Tensor]:
    return {f"{part}.{name}": tensor for part, layers in _layers(model).items() for name, tensor in layers.items()}


def _portable(config: dict[str, Any]) -> dict[str, Any]:
    """Drops the path of the base model on this machine and gives sets an order."""
    kept = {key: value for key, value in config.items() if key != "base_model_name_or_path"}
    return {key: sorted(value) if isinstance(value, set) else value for key, value in kept.items()}


def read_adapter(folder: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads an adapter file.

    Args:
        folder: A checkpoint folder.

    Returns:
        Tensors and metadata, by name.

    Raises:
        ModelMismatchError: The file is missing, damaged or far too large.
    """
    path = folder / WEIGHTS
    if not has_file(path):
        raise ModelMismatchError(f"{folder}: expected a checkpoint with {WEIGHTS}")
    check_size(path)
    return load_tensors(path)


def load_adapter(model: StableDiffusion, folder: Path) -> None:
    """Loads an adapter for inference in place of an earlier one; every tensor must arrive unchanged.

    The adapter is float32 over any base, as in training: diffusers loads it in the base's precision, so what it rounded
    is put right afterwards.

    Args:
        model: The base.
        folder: A checkpoint folder.

    Raises:
        ModelMismatchError: The file is missing or damaged, or was made for another base.
    """
    path, (tensors, metadata) = folder / WEIGHTS, read_adapter(folder)
    check_fit(model, path, tensors)
    unload_adapter(model)
    tensors = {_peft_name(model, name): tensor for name, tensor in tensors.items()}
    _attach(model, tensors, lora_settings(path, tensors, metadata))
    arrived = _all_layers(model)
    lost = sorted(name for name in tensors.keys() | arrived.keys() if not _equal(tensors.get(name), arrived.get(name)))
    if lost:
        raise ModelMismatchError(f"{path}: {len(lost)} tensors did not arrive in the base model, first {lost[0]}")
    make_float32(model)
    for name, tensor in _all_layers(model).items():
        tensor.copy_(tensors[name])


def start_adapter(model: StableDiffusion, folder: Path) -> None:
    """Gives a freshly attached adapter the values of a saved one, to go on training from.

    Args:
        model: A base with an adapter attached.
        folder: A checkpoint folder.

    Raises:
        ModelMismatchError: The file is missing or damaged, or its adapter has other layers, another rank or alpha.
    """
    path, (tensors, metadata) = folder / WEIGHTS, read_adapter(folder)
    check_fit(model, path, tensors)
    tensors = {_peft_name(model, name): tensor for name, tensor in tensors.items()}
    own = _all_layers(model)
    wrong = sorted(
        name
        for name in own.keys() | tensors.keys()
        if name not in own or name not in tensors or own[name].shape != tensors[name].shape
    )
    alphas = {name: module.peft_config[ADAPTER].lora_alpha for name, module in adapted(model).items()}
    if wrong:
        raise ModelMismatchError(f"{path}: {len(wrong)} tensors differ from what `method` trains, first {wrong[0]}")
    for name, settings in lora_settings(path, tensors, metadata).items():
        if settings["lora_alpha"] != alphas[name]:
            raise ModelMismatchError(
                f"{path}: {name} has alpha {settings['lora_alpha']:g}, `method` trains with {alphas[name]:g}"
            )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def _attach(model: StableDiffusion, tensors: dict[str, Tensor], settings: dict[str, dict[str, Any]]) -> None:
    """Has diffusers load the tensors under settings of ours: those of a file may name any pattern or class."""
    pipeline = model.pipeline
    for component, module in {"unet": pipeline.unet, **model.text_encoders}.items():
        if component not in settings:
            continue
        given = {f"{component}.{key}": value for key, value in settings[component].items()}
        common = {"network_alphas": None, "adapter_name": ADAPTER, "metadata": given, "_pipeline": pipeline}
        if component == "unet":
            pipeline.load_lora_into_unet(tensors, unet=module, **common)
        else:
            pipeline.load_lora_into_text_encoder(tensors, text_encoder=module, prefix=component, **common)


def _file_name(model: StableDiffusion, component: str, name: str) -> str:
    return WRAPPER + name if _is_bare(model, component) else name


def _is_bare(model: StableDiffusion, component: str) -> bool:
    return component in model.text_encoders and not hasattr(model.text_encoders[component], "text_model")


def _peft_name(model: StableDiffusion, name: str) -> str:
    match = FACTOR.fullmatch(name)
    old = {"down": "A", "up": "B"}.get(match["old"]) if match else None  # what files of older versions say
    name = f"{match['layer']}.lora_{old}.weight" if match and old else name
    component, _, rest = name.partition(".")
    return f"{component}.{rest.removeprefix(WRAPPER)}" if _is_bare(model, component) else name


def _equal(file: Tensor | None, model: Tensor | None) -> bool:
    return file is not None and model is not None and torch.equal(file.to(model.dtype), model.detach().cpu())


def check_fit(model: StableDiffusion, path: Path, tensors: dict[str, Tensor]) -> None:
    """Compares an adapter's shapes with the base's layers.

    Args:
        model: The base, with or without adapters.
        path: For the message.
        tensors: The adapter file's content.

    Raises:
        ModelMismatchError: A layer is missing or has another width.
    """
    components = {"unet": model.pipeline.unet, **model.text_encoders}
    layers = {
        f"{component}.{name}": getattr(layer, "base_layer", layer)
        for component, module in components.items()
        for name, layer in module.named_modules()
    }
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
        if tensor.ndim != weight.ndim:
            raise ModelMismatchError(f"{path}: {name} has {tensor.ndim} dimensions, expected {weight.ndim}")
        if tensor.shape[axis] != weight.shape[axis]:
            raise ModelMismatchError(
                f"{path}: {name} has width {tensor.shape[axis]}, the base model's layer {weight.shape[axis]}; "
                "it was trained on another base model"
            )
