"""What training and generating take of a GPU's memory at the true size of a base: computed, not measured on a card.

`python -m benchmarks.bench_memory [BASE ...]` prints a row for each memory preset of configs/model and, in brackets,
what that says. One step runs on tensors that have a size and no content (FakeTensorMode), and the storages that are
alive at once are counted: weights, adapter, gradients, moments, activations. Attention counts as the flash kernels
that torch takes on a GPU, norms as autocast has them there, in float32.
"""

import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.real_bases import T5_LENGTH, build
from benchmarks.real_sizes import SIZES
from src.core.building import build as build_part
from src.core.config import load_settings
from src.core.settings import Settings
from src.models.base import DTYPES, BaseModel, Conditioning, Denoiser, denoiser
from src.models.quantized import text_parts

GIB = 2**30
# bytes of a linear weight: codes and scales (tests/training/test_quantized.py counts them)
CODED = {"int8": 1.01, "nf4": 0.516}
# vectors of a published CLIP, which has the tests' few words here
CLIP_WORDS = 49408
# of a text encoder's forward pass
TEXT_BYTES = GIB // 4
CARDS = (12, 16, 24, 80)
PRESETS = tuple(f"gb{card}" for card in CARDS)
BASES = ("sd15", "sd21", "sdxl", "sd3", "flux_dev")


class Alive(TorchDispatchMode):
    """Counts the bytes of all storages that come to be and are alive, and the most there were at once.

    Args:
        module: Whose weights are no results, though views of them are.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.now = self.peak = 0
        weights = [*module.parameters(), *module.buffers()]
        self._known: dict[int, int] = {weight.untyped_storage()._cdata: 0 for weight in weights}

    def add(self, tensor: Tensor) -> None:
        """Counts a tensor's storage until it dies."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known[key] = size
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self.now -= self._known.pop(key)

    def __torch_dispatch__(self, operation: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operation and counts its results."""
        results = operation(*args, **(kwargs or {}))
        for value in tree_leaves(results):
            if isinstance(value, Tensor):
                self.add(value)
        return results


class Need(NamedTuple):
    """GiB at most: to train, and to generate."""

    train: float
    generate: float


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """Lets norms compute in float32, which autocast does on CUDA and not on a processor."""
    own = functional.group_norm, functional.layer_norm

    def group_norm(x: Tensor, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
        return own[0](x.float(), groups, *(None if p is None else p.float() for p in (weight, bias)), eps)

    def layer_norm(x: Tensor, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
        return own[1](x.float(), shape, *(None if p is None else p.float() for p in (weight, bias)), eps)

    functional.group_norm, functional.layer_norm = group_norm, layer_norm
    try:
        yield
    finally:
        functional.group_norm, functional.layer_norm = own


def fill(module: torch.nn.Module) -> None:
    """Gives a module of shapes alone tensors of the mode that is on."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                empty = torch.empty(value.shape, dtype=value.dtype)
                part._parameters[name] = torch.nn.Parameter(empty, requires_grad=value.requires_grad)
        for name, value in part._buffers.items():
            if value is not None:
                part._buffers[name] = torch.empty(value.shape, dtype=value.dtype)


def size_of(module: torch.nn.Module) -> int:
    """Returns the bytes of parameters and buffers."""
    tensors = [*module.parameters(), *module.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def text_bytes(model: BaseModel) -> int:
    """Returns the bytes of the text encoders as they are published."""
    parts = [getattr(model.pipeline, name) for name in text_parts(model)]
    few = [part.get_input_embeddings().weight for part in parts if part.config.model_type != "t5"]
    missing = sum((CLIP_WORDS - len(words)) * words.shape[1] * words.element_size() for words in few)
    return missing + sum(size_of(part) for part in parts)


def counted(module: torch.nn.Module, run: Callable[[], object]) -> int:
    """Returns the bytes that running a module takes at most beside its weights, on tensors without content."""
    with Alive(module) as alive:
        run()
    return alive.peak


def conditioning(name: str, batch: int, dtype: torch.dtype) -> Conditioning:
    """Returns the texts of a batch, without content."""
    size, network = SIZES[name], SIZES[name].network
    if size.t5:
        length = T5_LENGTH if size.family == "flux" else 77 + 256
        pooled = torch.empty(batch, network.get("pooled_projection_dim", 768), dtype=dtype)
        return Conditioning(torch.empty(batch, length, network.get("joint_attention_dim", 4096), dtype=dtype), pooled)
    pooled = torch.empty(batch, size.projections[-1], dtype=dtype) if size.family == "sdxl" else None
    return Conditioning(torch.empty(batch, 77, network["cross_attention_dim"], dtype=dtype), pooled)


def inputs(name: str, model: BaseModel, batch: int) -> tuple[Tensor, Tensor, Conditioning, Tensor]:
    """Returns what a denoiser is asked, without content."""
    side = SIZES[name].resolution // model.pipeline.vae_scale_factor
    latents = torch.empty(batch, SIZES[name].vae["latent_channels"], side, side)
    return latents, torch.empty(batch), conditioning(name, batch, model.dtype), torch.empty(batch, 2)


def training_bytes(name: str, params: Settings) -> int:
    """Returns what a training takes at most, phases included: encoding photos, texts, one update."""
    train = params.train
    model = build(name, train.base_dtype, torch.device("meta"))
    network, pipe = denoiser(model), model.pipeline
    texts, vae = text_bytes(model), size_of(pipe.vae)
    linear = [layer.weight.numel() for layer in network.modules() if type(layer) is torch.nn.Linear]
    width = DTYPES[train.base_dtype].itemsize
    whole = size_of(network)
    saved = 0
    if train.quantize != "none":
        # nothing is quantised here, so this is what it is less, but for what a product turns back into numbers
        saved = int(sum(linear) * (width - CODED[train.quantize])) - 2 * max(linear) * width
    groups = build_part(params.method, "method").attach(model, 0)
    trained = sum(parameter.numel() for group in groups for parameter in group.parameters.values())
    batch = train.batch_size // train.gradient_accumulation_steps
    with FakeTensorMode(), as_on_a_gpu():
        fill(network)
        fill(pipe.vae)
        module = Denoiser(model, False, train.gradient_checkpointing).train()

        def update() -> None:
            asked = inputs(name, model, batch)
            with torch.autocast("cpu", torch.bfloat16, enabled=train.mixed_precision != "no"):
                prediction = module(*asked)
            (prediction.float() - torch.empty_like(asked[0])).square().mean().backward()

        step = counted(module, update)
        encode = counted(pipe.vae, lambda: pipe.vae.encode(torch.empty(1, 3, *[SIZES[name].resolution] * 2)))
    # the adapter, AdamW's two moments and, of earlier images of an update, gradients, in float32
    step += whole - saved + 4 * 4 * trained
    if train.sample_every:  # then they stay
        step += texts + vae
    if train.quantize == "none":
        return max(whole + vae + texts + encode, step)
    return max(vae + encode, texts + TEXT_BYTES, step)


def generating_bytes(name: str, params: Settings) -> int:
    """Returns what generating takes at most: all parts, and a batch's step or one image's decoding."""
    values = params.validation_args
    model = build(name, values.dtype, torch.device("meta"))
    # FLUX reads guidance as a number
    batch = values.batch_size * (1 if SIZES[name].family == "flux" or values.guidance_scale == 1 else 2)
    weights = text_bytes(model) + size_of(denoiser(model)) + size_of(model.pipeline.vae)
    with FakeTensorMode(), torch.no_grad():
        for part in (denoiser(model), model.pipeline.vae):
            fill(part)
        asked = inputs(name, model, batch)
        half = asked[0].to(model.dtype), *asked[1:]
        step = counted(denoiser(model), lambda: model.predict(*half))
        decode = counted(model.pipeline.vae, lambda: model.pipeline.vae.decode(asked[0][:1]))
    return weights + max(step, decode)


def need(name: str, *overrides: str) -> Need:
    """Computes what a base takes.

    Args:
        name: A key of SIZES and of configs/model.
        *overrides: Of the configuration.

    Returns:
        The most of each.
    """
    params = load_settings([f"model={name}", "subject=toy", *overrides])
    return Need(training_bytes(name, params) / GIB, generating_bytes(name, params) / GIB)


def line(name: str, preset: str) -> str:
    """Returns a row of the table: counted now, and what the base model's file says."""
    said = load_settings([f"model={name}", f"memory={preset}", "subject=toy"]).memory.presets[preset]
    found = need(name, f"memory={preset}")
    kept = said.base_dtype if said.quantize == "none" else said.quantize
    return (
        f"| {name} | {preset} | {kept} | {said.batch_size // said.gradient_accumulation_steps} "
        f"| {'yes' if said.gradient_checkpointing else 'no'} | {found.train:.1f} ({said.train_gib}) "
        f"| {said.images_at_once} | {found.generate:.1f} ({said.generate_gib}) |"
    )


def main(names: Sequence[str]) -> None:
    """Prints a row for each preset.

    Args:
        names: Bases; without one all that have presets.

    Raises:
        SystemExit: A base has none.
    """
    if strangers := [name for name in names if name not in BASES]:
        raise SystemExit(f"bench_memory: {strangers[0]}: expected of {', '.join(BASES)}")
    print(
        "| base | preset | denoiser | images at once | recomputes | training, GiB | images at once | generating, GiB |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name in names or BASES:
        for preset in PRESETS:
            print(line(name, preset), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
