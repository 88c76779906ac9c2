"""Adapters by weight: W + w_1 dW_1 + w_2 dW_2 + ..., added to the base's weights or kept beside them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from src.core.errors import ConfigError
from src.methods.base import AdapterFormat
from src.methods.combined import CombinedFormat
from src.methods.own_weights import OwnWeightsFormat
from src.methods.t_lora import TLoraFormat
from src.methods.textual_inversion import TextualInversionFormat
from src.models.base import BaseModel, adaptable


@dataclass(frozen=True)
class Weighted:
    """A checkpoint and how much of it.

    Attributes:
        format: What it is on disk.
        folder: Where.
        weight: 0 is the base, 1 what was trained; the change of the weights is linear between and beyond.
    """

    format: AdapterFormat
    folder: Path
    weight: float

    @property
    def parts(self) -> Sequence[AdapterFormat]:
        """Its formats, new words apart from changed weights."""
        return self.format.formats if isinstance(self.format, CombinedFormat) else (self.format,)


def check_weights(adapters: Sequence[Weighted], fuse: bool | None) -> None:
    """Refuses, before any model is loaded, what a kind of checkpoint cannot be.

    Args:
        adapters: As of `together`.
        fuse: As of `together`.

    Raises:
        ConfigError: Part of a word, which has no vectors of the base to be between; a T-LoRA, whose change is another
            at every noise level, fused or beside a second one; whole weights that are to be kept beside.
    """
    listening = [one for one in adapters if any(isinstance(part, TLoraFormat) for part in one.parts)]
    if len(listening) > 1:
        raise ConfigError(f"{listening[0].folder} and {listening[1].folder}: expected one T-LoRA at most")
    if fuse is True and listening:
        raise ConfigError(f"inferencer.fuse=true: {listening[0].folder} has another rank at every noise level")
    for one in adapters:
        if one.weight not in (0, 1) and all(isinstance(part, TextualInversionFormat) for part in one.parts):
            raise ConfigError(f"{one.folder}: new words, of which there is no part: expected weight 0 or 1")
        if fuse is False and any(isinstance(part, OwnWeightsFormat) for part in one.parts):
            raise ConfigError(f"inferencer.fuse=false: {one.folder} holds whole weights, no layers to keep beside them")


def together(model: BaseModel, adapters: Sequence[Weighted], fuse: bool | None) -> AbstractContextManager[None]:
    """Puts checkpoints on a base for inference.

    Args:
        model: The base.
        adapters: Any number; those of weight 0 are left out, new words of the others come whole.
        fuse: Whether their changes are added to the base's weights. False keeps them beside, as layers of their own,
            which takes their memory once more and is equal within rounding. None adds them where that is what rounding
            alone changes: where the base is float32.

    Returns:
        A context, after which the base's weights are what they were, to the last bit. One checkpoint of weight 1
        with `fuse` None is what `AdapterFormat.applied` puts on, to the last bit.

    Raises:
        ConfigError: As of `check_weights`.
        ModelMismatchError: As of `AdapterFormat.applied`.
    """
    used = [one for one in adapters if one.weight != 0]
    check_weights(used, fuse)
    if fuse is None and len(used) == 1 and used[0].weight == 1:
        return used[0].format.applied(model, used[0].folder)
    return _summed(model, used, model.dtype == torch.float32 if fuse is None else fuse)


@contextmanager
def _summed(model: BaseModel, adapters: Sequence[Weighted], fuse: bool) -> Iterator[None]:
    total: dict[str, Tensor] = {}
    for one in adapters:
        for part in one.parts:
            for name, change in part.changes(model, one.folder).items():
                total[name] = total[name] + one.weight * change if name in total else one.weight * change
    with ExitStack() as stack:
        beside = {name for name in total if not fuse and _is_matrix(model, name)}
        stack.enter_context(_added(model, {name: total[name] for name in total.keys() - beside}))
        stack.enter_context(_beside(model, {name: total[name] for name in sorted(beside)}))
        for one in adapters:
            for part in one.parts:
                if isinstance(part, TextualInversionFormat):
                    stack.enter_context(part.applied(model, one.folder))
                elif isinstance(part, TLoraFormat):
                    stack.enter_context(part.applied(model, one.folder, one.weight))
        yield


def _is_matrix(model: BaseModel, name: str) -> bool:
    """Says whether a parameter's change can be kept beside it; those of biases and norms are small, and added."""
    component, _, path = name.partition(".")
    owner, _, parameter = path.rpartition(".")
    layer = adaptable(model)[component].get_submodule(owner)
    return parameter == "weight" and isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)


@contextmanager
def _added(model: BaseModel, changes: Mapping[str, Tensor]) -> Iterator[None]:
    tensors = {
        f"{component}.{name}": tensor
        for component, module in adaptable(model).items()
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]
    }
    earlier = {name: tensors[name].data for name in changes}
    try:
        for name, change in changes.items():
            own = earlier[name]
            tensors[name].data = torch.empty_like(own).copy_(own.float() + change)
        yield
    finally:
        for name, data in earlier.items():
            tensors[name].data = data


@contextmanager
def _beside(model: BaseModel, changes: Mapping[str, Tensor]) -> Iterator[None]:
    handles = []
    try:
        for name, change in changes.items():
            component, _, path = name.partition(".")
            layer = adaptable(model)[component].get_submodule(path.rpartition(".")[0])
            assert isinstance(layer, torch.nn.Linear | torch.nn.Conv2d), f"{name}: what peft puts layers on"
            handles.append(layer.register_forward_hook(partial(_add_output, change.to(layer.weight.dtype))))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _add_output(change: Tensor, layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    if isinstance(layer, torch.nn.Conv2d):
        return output + layer._conv_forward(inputs[0], change, None)
    return output + functional.linear(inputs[0], change)
