"""Adds an adapter to the base's own weights while images are drawn: fewer and larger multiplications."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft.tuners.tuners_utils import BaseTunerLayer

from src.models.lora import adapted
from src.models.stable_diffusion import StableDiffusion


@contextmanager
def merged(model: StableDiffusion) -> Iterator[None]:
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
    kept = [layer.get_base_layer().weight.detach().clone() for layer in layers]
    try:
        for layer in layers:
            layer.merge()
        yield
    finally:
        for layer, weight in zip(layers, kept, strict=True):
            layer.unmerge()
            layer.get_base_layer().weight.data.copy_(weight)
