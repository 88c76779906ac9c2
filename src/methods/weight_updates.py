"""Adapters of other tools that peft's LoRA cannot say: LoHa, LoKr and Tucker forms of LyCORIS, DoRA by inputs, and
changes of whole weights.

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
from src.methods.foreign.updates import SCALE, change, changed, fits
from src.methods.lora_header import WRAPPER
from src.models.base import BaseModel, adaptable

WEIGHTS = "weight_updates.safetensors"
# what half precision is computed beside; of the rest, as norms, the weights themselves change
MATRICES = (torch.nn.Linear, torch.nn.Conv2d)


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
        kept, hooks = [], []
        try:
            for layer, parts in _owners(model, folder):
                if layer.weight.dtype == torch.float32 or not isinstance(layer, MATRICES):
                    for name, new in _changed(layer, parts).items():
                        parameter = getattr(layer, name)
                        kept.append((parameter.data, parameter.detach().clone()))
                        parameter.data.copy_(new)
                else:
                    hooks.append(layer.register_forward_hook(_beside(parts)))
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for data, values in kept:
                data.copy_(values)

    def changes(self, model: BaseModel, folder: Path) -> dict[str, Tensor]:
        """Computes the difference in float32; see AdapterFormat."""
        names = {
            layer: f"{component}.{name}"
            for component, module in adaptable(model).items()
            for name, layer in module.named_modules()
        }
        return {
            f"{names[layer]}.{name}": new - getattr(layer, name).data.float()
            for layer, parts in _owners(model, folder)
            for name, new in _changed(layer, parts).items()
        }


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
        if isinstance(getattr(layer, "weight", None), Tensor)
    }
    found = []
    for full, parts in read_parts(folder).items():
        component, _, name = full.partition(".")
        layer: Any = layers.get(f"{component}.{name.removeprefix(WRAPPER)}")
        if layer is None:
            raise ModelMismatchError(f"{folder.name}: adapts {full}, which the base model does not have")
        here = {part: tensor.to(layer.weight.device, torch.float32) for part, tensor in parts.items()}
        fitting = fits(layer.weight.shape, {part: tensor.to("meta") for part, tensor in here.items()})
        bias = getattr(layer, "bias", None)
        if "diff_b" in here and (bias is None or bias.shape != here["diff_b"].shape):
            fitting = False
        if not fitting:
            raise ModelMismatchError(
                f"{folder.name}: the update of {full} is not as wide as the base model's layer, "
                f"{tuple(layer.weight.shape)}; it was trained on another base model"
            )
        found.append((layer, here))
    return found


def _changed(layer: Any, parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the new values, float32, of those of a layer's parameters that change."""
    new = {}
    if set(parts) - {"diff_b", SCALE}:
        new["weight"] = changed(layer.weight.data.float(), parts)
    if "diff_b" in parts:
        new["bias"] = layer.bias.data.float() + parts["diff_b"]
    return new


def _beside(parts: dict[str, Tensor]) -> Any:
    """Makes a hook that adds to a layer's output what the change of its weight and bias would."""

    def hook(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        weight, x, bias = layer.weight.float(), inputs[0].float(), parts.get("diff_b")
        if not set(parts) - {"diff_b", SCALE}:
            delta = torch.zeros_like(weight)
        elif "dora_scale" in parts:
            delta = changed(weight, parts) - weight
        else:
            delta = change(parts).reshape(weight.shape)
        if isinstance(layer, torch.nn.Conv2d):
            more = functional.conv2d(x, delta, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        else:
            more = functional.linear(x, delta, bias)
        return (output.float() + more).to(output.dtype)

    return hook
