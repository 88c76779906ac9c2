"""A frozen denoiser whose linear layers are kept in 8 or 4 bits, by bitsandbytes, while something beside it trains.

Papers: LLM.int8() (Dettmers et al., 2022), arXiv:2208.07339; QLoRA (Dettmers et al., 2023), arXiv:2305.14314, whose
4-bit NormalFloat with quantised scales takes 0.516 bytes a weight.
"""

import importlib.util
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from src.core.errors import MissingModelError
from src.models.base import BaseModel, denoiser

# Columns of activations beyond this are multiplied in full: section 3.2 of LLM.int8(), and transformers' default.
OUTLIER = 6.0
PACKAGE = "bitsandbytes"
VERSION = "0.50.2"


def check_library(setting: str) -> None:
    """Refuses to quantise where the library is not installed; it is none of the requirements.

    Args:
        setting: What asks for it, for the message.

    Raises:
        MissingModelError: It is not.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise MissingModelError(
            f"{setting}: {PACKAGE} is missing, install it with `uv pip install {PACKAGE}=={VERSION}`"
        )


def quantize(model: BaseModel, kind: str, compute: torch.dtype) -> None:
    """Puts the denoiser on the model's device, its linear layers quantised one by one on the way.

    Embeddings, norms and convolutions stay as they are.

    Args:
        model: The base, frozen, its denoiser on the CPU, without anything attached.
        kind: One of QUANTIZED.
        compute: What 4-bit weights are turned into for each product.
    """
    # which says in every layer of every step that it casts to fp16
    logging.getLogger(f"{PACKAGE}.autograd._functions").setLevel(logging.ERROR)
    network = denoiser(model)
    for name, layer in list(network.named_modules()):
        # a class derived from it computes something else
        if type(layer) is torch.nn.Linear:
            network.set_submodule(name, _quantized(layer, kind, compute).train(layer.training).to(model.device))
    network.to(model.device)


def _quantized(layer: torch.nn.Linear, kind: str, compute: torch.dtype) -> Any:
    """Returns a layer of bitsandbytes with the same weights, which it quantises when it is moved to a device."""
    from bitsandbytes import nn

    sizes = (layer.in_features, layer.out_features, layer.bias is not None)
    # on `meta`, so that nothing is drawn for weights that are replaced
    if kind == "int8":
        new = nn.Linear8bitLt(*sizes, has_fp16_weights=False, threshold=OUTLIER, device="meta")
        new.weight = nn.Int8Params(layer.weight.data, requires_grad=False, has_fp16_weights=False)
    else:
        new = nn.Linear4bit(*sizes, compute_dtype=compute, quant_type=kind, device="meta")
        new.weight = nn.Params4bit(layer.weight.data, requires_grad=False, quant_type=kind, module=new)
        # or a forward pass for the held-out loss packs the weights anew, and later steps compute otherwise
        new.support_avx512bf16_for_cpu = False
    new.bias = layer.bias
    return new


def text_parts(model: BaseModel) -> list[str]:
    """Returns the names of the text encoders that a model has."""
    parts = model.pipeline.components.items()
    return [name for name, part in parts if name.startswith("text_encoder") and part is not None]


@contextmanager
def at_work(model: BaseModel, names: Sequence[str]) -> Iterator[None]:
    """Puts parts that wait on the CPU on the model's device, and back; others stay where they are.

    Args:
        model: The base.
        names: Components.

    Yields:
        Nothing.
    """
    waiting = [getattr(model.pipeline, name) for name in names]
    waiting = [part for part in waiting if part.device.type != model.device.type]
    for part in waiting:
        part.to(model.device)
    yield
    for part in waiting:
        part.to("cpu")
