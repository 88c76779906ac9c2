"""Layers of peft on the parts of a base model, through peft: put on, switch off, merge, take off."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor

from src.core.errors import ConfigError
from src.models.base import BaseModel, adaptable, text_encoders

ADAPTER = "default"


def put_on(module: Any, config: PeftConfig) -> None:
    """Adds layers, in float32 whatever the base is kept in.

    Args:
        module: A part of a base model.
        config: Which layers, and how.

    Raises:
        ValueError: The module has no such layers.
    """
    module.add_adapter(config, ADAPTER)
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def put_on_targets(module: Any, config: PeftConfig, key: str) -> None:
    """Adds layers as `put_on` does.

    Args:
        module: A part of a base model.
        config: Which layers, and how.
        key: The setting that names the layers, for the message.

    Raises:
        ConfigError: The module has no such layers.
    """
    try:
        put_on(module, config)
    except ValueError as error:
        raise ConfigError(f"{key}={sorted(config.target_modules or [])}: {error}") from error


def adapted(model: BaseModel) -> dict[str, Any]:
    """Returns the parts of the model that carry an adapter, by component name."""
    return {name: module for name, module in adaptable(model).items() if getattr(module, "peft_config", None)}


def trainable(modules: Mapping[str, Any]) -> dict[str, torch.nn.Parameter]:
    """Returns what trains in some parts, by component and name."""
    return {
        f"{component}.{name}": parameter
        for component, module in modules.items()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def take_off(model: BaseModel) -> None:
    """Takes any adapter off the base model."""
    if adapted(model):
        model.pipeline.unload_lora_weights()


def only_part(model: BaseModel, part: str | None) -> AbstractContextManager[None]:
    """Switches off the adapters of every part but one; see Method."""
    of_text = text_encoders(model)
    others = [
        module for name, module in adapted(model).items() if part is None or (name in of_text) == (part not in of_text)
    ]
    return _disabled(others)


@contextmanager
def _disabled(modules: list[Any]) -> Iterator[None]:
    for module in modules:
        module.disable_adapters()
    try:
        yield
    finally:
        for module in modules:
            module.enable_adapters()


def changes(model: BaseModel) -> dict[str, Tensor]:
    """Computes what adapters add to the weights of their layers, in float32 whatever the base is kept in.

    Args:
        model: A base with an adapter, unmerged; it stays so.

    Returns:
        By component and parameter, as the base without the adapter calls it.
    """
    found = {}
    for component, module in adapted(model).items():
        for name, layer in module.named_modules():
            if isinstance(layer, BaseTunerLayer):
                weight = layer.get_base_layer().weight
                own = weight.data
                weight.data = own.float().clone()
                try:
                    layer.merge()
                    # some merge in place, some leave another tensor there
                    found[f"{component}.{name}.weight"] = weight.data - own.float()
                    layer.unmerge()
                finally:
                    weight.data = own
    return found


@contextmanager
def merged(model: BaseModel) -> Iterator[None]:
    """Computes W + (alpha / rank) B A once instead of both products in every layer of every step.

    In float32 only: half precision would round a small update of a large weight away, so there the factors stay apart.

    Args:
        model: A base, with or without an adapter.

    Yields:
        Nothing; afterwards the base's weights are what they were, to the last bit.
    """
    layers = [
        layer
        for module in adapted(model).values()
        for layer in module.modules()
        if isinstance(layer, BaseTunerLayer) and layer.get_base_layer().weight.dtype == torch.float32
    ]
    own = [parameter for layer in layers for parameter in layer.get_base_layer().parameters()]
    # some merge in place, some leave another tensor there
    kept = [(parameter.data, parameter.detach().clone()) for parameter in own]
    try:
        for layer in layers:
            layer.merge()
        yield
    finally:
        for layer in layers:
            layer.unmerge()
        for parameter, (data, values) in zip(own, kept, strict=True):
            parameter.data = data.copy_(values)
