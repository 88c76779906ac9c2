"""Adapters of other tools that peft's LoRA cannot say: LoHa, LoKr and Tucker forms of LyCORIS, DoRA by inputs.

The file holds the tool's own tensors under diffusers' names of layers; what they do to a weight is in
`src.methods.foreign.updates`. They can be generated with, and are not trained further.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from src.core.errors import ModelMismatchError
from src.methods.files import read_tensors
from src.methods.foreign.updates import change, changed, fits
from src.methods.lora_header import WRAPPER
from src.models.base import BaseModel, adaptable

WEIGHTS = "weight_updates.safetensors"


class WeightUpdatesFormat:
    """A file of updates; see AdapterFormat."""

    files = (WEIGHTS,)

    def check_file(self, folder: Path) -> None:
        """Reads the file; see AdapterFormat."""
        read_parts(folder)

    def check_fit(self, model: BaseModel, folder: Path) -> None:
        """Compares shapes; see AdapterFormat."""
        _owners(model, folder)

    @contextmanager
    def applied(self, model: BaseModel, folder: Path) -> Iterator[None]:
        """Changes weights in float32; beside half precision, which would round a change away, computes the difference.

        See AdapterFormat.
        """
        owners = _owners(model, folder)
        in_place = [(layer, parts) for layer, parts in owners if layer.weight.dtype == torch.float32]
        kept = [(layer.weight.data, layer.weight.detach().clone()) for layer, _ in in_place]
        hooks = []
        try:
            for layer, parts in owners:
                if layer.weight.dtype == torch.float32:
                    layer.weight.data.copy_(changed(layer.weight.data, parts))
                else:
                    hooks.append(layer.register_forward_hook(_beside(parts)))
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for data, values in kept:
                data.copy_(values)


def read_parts(folder: Path) -> dict[str, dict[str, Tensor]]:
    """Reads a file of updates.

    Args:
        folder: A checkpoint folder.

    Returns:
        Parts by component and layer.

    Raises:
        ModelMismatchError: The file is missing, damaged or far too large.
    """
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in read_tensors(folder, WEIGHTS)[0].items():
        layer, _, part = name.rpartition(".")
        layers.setdefault(layer, {})[part] = tensor
    return layers


def _owners(model: BaseModel, folder: Path) -> list[tuple[Any, dict[str, Tensor]]]:
    """Finds the layer of every update, and brings the update to it in float32."""
    layers = {
        f"{component}.{name.removeprefix(WRAPPER)}": layer
        for component, module in adaptable(model).items()
        for name, layer in module.named_modules()
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
    }
    found = []
    for full, parts in read_parts(folder).items():
        component, _, name = full.partition(".")
        layer = layers.get(f"{component}.{name.removeprefix(WRAPPER)}")
        if layer is None:
            raise ModelMismatchError(f"{folder.name}: adapts {full}, which the base model does not have")
        here = {part: tensor.to(layer.weight.device, torch.float32) for part, tensor in parts.items()}
        if not fits(layer.weight.shape, {part: tensor.to("meta") for part, tensor in here.items()}):
            raise ModelMismatchError(
                f"{folder.name}: the update of {full} is not as wide as the base model's layer, "
                f"{tuple(layer.weight.shape)}; it was trained on another base model"
            )
        found.append((layer, here))
    return found


def _beside(parts: dict[str, Tensor]) -> Any:
    """Makes a hook that adds to a layer's output what the change of its weight would."""

    def hook(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        weight, x = layer.weight.float(), inputs[0].float()
        delta = changed(weight, parts) - weight if "dora_scale" in parts else change(parts).reshape(weight.shape)
        if isinstance(layer, torch.nn.Conv2d):
            more = functional.conv2d(x, delta, None, layer.stride, layer.padding, layer.dilation, layer.groups)
        else:
            more = functional.linear(x, delta)
        return (output.float() + more).to(output.dtype)

    return hook
