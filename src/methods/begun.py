"""LoRA whose factors begin as something else than nothing, over a base model that stays as it is.

What they began with is taken off again: W + (alpha / rank) (B A - B_0 A_0). That is one LoRA of twice the rank,
[B, -B_0] [A; A_0], of which one half trains, and so it is saved: every tool reads it over the untouched base model.
"""

from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from peft.utils.integrations import dequantize_module_weight
from torch import Tensor
from torch.nn.utils import parametrize

from src.core.errors import ConfigError
from src.methods.lora_files import check_alpha, check_fit, read_adapter
from src.methods.peft_layers import ADAPTER
from src.models.base import BaseModel, denoiser
from src.models.tensors import fill

SIDES = ("A", "B")


class Beside(torch.nn.Module):
    """A parametrization of a factor: what trains, and beside it, frozen, what it began with.

    Args:
        frozen: Of A (rank, ...) or of B (out, rank, ...), float32.
        axis: Where the rank is: 0 in A, 1 in B.
        gain: Trained with a factor, (rank,): T-LoRA's S; None for none.
    """

    def __init__(self, frozen: Tensor, axis: int, gain: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("frozen", frozen)
        self.axis = axis
        self.gain = None if gain is None else torch.nn.Parameter(gain)

    def forward(self, trained: Tensor) -> Tensor:
        """Returns the factor of twice the rank."""
        assert isinstance(self.frozen, Tensor)
        return torch.cat([self.scaled(trained), self.frozen], self.axis)

    def scaled(self, trained: Tensor, power: int = 1) -> Tensor:
        """Multiplies what trains by the gain, or divides it by that for a power of -1."""
        if self.gain is None:
            return trained
        return trained * (self.gain**power).view([-1 if axis == self.axis else 1 for axis in range(trained.ndim)])


def layers(network: Any) -> dict[str, LoraLayer]:
    """Returns the layers that LoRA adapts, by name."""
    found = {name: layer for name, layer in network.named_modules() if isinstance(layer, LoraLayer)}
    return {name: layer for name, layer in found.items() if ADAPTER in layer.lora_A}


def begin(layer: LoraLayer, a: Tensor, b: Tensor, gain: Tensor | None) -> None:
    """Lets a fresh layer of twice the rank begin with factors, without an effect yet.

    Args:
        layer: Its rank is 2 r.
        a: A_0, (r, in) or (r, in, k, k).
        b: B_0, (out, r) or (out, r, 1, 1).
        gain: S_0, (r,), between them; None for ones.
    """
    for side, value, axis, sign in (("A", a, 0, 1), ("B", b, 1, -1)):
        factor = _factor(layer, side)
        value = value.to(factor.weight.device, torch.float32).contiguous()
        beside = Beside(value, axis, gain.to(value) if gain is not None and axis else None)
        beside.frozen = sign * beside.scaled(value).detach()
        factor.weight = torch.nn.Parameter(value.clone())
        # another shape than the parameter's is what is meant
        parametrize.register_parametrization(factor, "weight", beside, unsafe=True)


def as_matrix(layer: LoraLayer) -> Tensor:
    """Returns what a layer adapts, quantised or not, as a matrix, (out, everything else), float32, on the CPU."""
    weight: Tensor = dequantize_module_weight(layer.get_base_layer())
    return weight.detach().cpu().float().flatten(1)


def as_factors(layer: LoraLayer, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Gives matrices (r, everything else) and (out, r) the dimensions of a layer's factors."""
    shapes = [_factor(layer, side).weight.shape for side in SIDES]
    return a.reshape(len(a), *shapes[0][1:]), b.reshape(len(b), -1, *shapes[1][2:])


def check_rank(name: str, layer: LoraLayer, rank: int) -> None:
    """Refuses a rank that a layer's weight does not have.

    Args:
        name: The layer's.
        layer: The layer.
        rank: That is wanted.

    Raises:
        ConfigError: It is larger than the weight's shorter side.
    """
    if rank > (largest := min(as_matrix(layer).shape)):
        raise ConfigError(f"rank={rank}: {name} of the base model has {largest}; expected no more")


def factors(model: BaseModel) -> dict[str, Tensor]:
    """Returns copies of both factors of the denoiser's layers, whole, by peft's names."""
    return {
        f"{model.denoiser_name}.{name}.lora_{side}.weight": _factor(layer, side).weight.detach().cpu().clone()
        for name, layer in layers(denoiser(model)).items()
        for side in SIDES
    }


@torch.no_grad()
def start(model: BaseModel, folder: Path, file: str) -> None:
    """Gives a freshly attached adapter the factors of a saved one, both halves.

    Args:
        model: A base with an adapter attached.
        folder: A checkpoint folder.
        file: The file in it.

    Raises:
        ModelMismatchError: They are of other layers, of another rank or alpha, or the file is damaged.
    """
    path, (tensors, metadata) = folder / file, read_adapter(folder, file)
    check_fit(model, path, tensors)
    check_alpha(model, path, tensors, metadata)
    own = factors(model)
    fill(own, tensors, f"{path}: {{}} tensors differ from what `method` trains, first {{}}")
    for name, layer in layers(denoiser(model)).items():
        for side in SIDES:
            factor, given = _factor(layer, side), own[f"{model.denoiser_name}.{name}.lora_{side}.weight"]
            if not parametrize.is_parametrized(factor):
                factor.weight.copy_(given)
                continue
            (beside,), trained = factor.parametrizations.weight, factor.parametrizations.weight.original
            halves = given.to(trained.device).chunk(2, beside.axis)
            if beside.gain is not None:
                # what it began with has columns of length one without the gain
                beside.gain.copy_(halves[1].flatten(1).norm(dim=0))
            trained.copy_(beside.scaled(halves[0], -1))
            beside.frozen.copy_(halves[1])


def _factor(layer: LoraLayer, side: str) -> Any:
    return getattr(layer, f"lora_{side}")[ADAPTER]
