"""Training the denoiser's own weights: all of them, or those of some layers.

The file is that of diffusers: a whole denoiser is read by `UNet2DConditionModel.from_pretrained(FOLDER)`, a part of one
by `pipeline.unet.load_state_dict(load_file(FILE), strict=False)`.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch
from torch import Tensor

from src.core.errors import ConfigError, ModelMismatchError
from src.core.files import write_json
from src.methods.base import ParameterGroup, is_target
from src.methods.files import read_tensors
from src.models.base import BaseModel, denoiser
from src.models.tensors import fill, save_tensors

WEIGHTS = "diffusion_pytorch_model.safetensors"
# SDXL's UNet in float32 has 10 GB
MAX_FILE_BYTES = 64 << 30


class OwnWeightsMethod:
    """Full fine-tuning, or that of some layers.

    Papers: DreamBooth (Ruiz et al., 2022), arXiv:2208.12242, trains all of the denoiser; Custom Diffusion (Kumari et
    al., 2022), arXiv:2212.04488, its cross-attention's keys and values. Beside an adapter, gradients and moments are as
    large as the weights: SD1.x takes 14 GB, SDXL 41 GB in float32.

    Args:
        target_modules: Suffixes of the denoiser's layers; None for all there is.
        lr_share: The group's learning rate over the run's: whole weights take smaller steps than an adapter.

    Raises:
        ConfigError: The share is out of range, or the list is empty.
    """

    def __init__(self, target_modules: list[str] | None, lr_share: float) -> None:
        if not lr_share > 0:
            raise ConfigError(f"method.lr_share={lr_share}: expected a number above 0")
        if target_modules == []:
            raise ConfigError("method.target_modules=[]: expected layers, or null for all")
        self.trains_text, self.needs_fp32 = False, True
        self.quantized_bases: tuple[str, ...] = ()
        self.target_modules, self.lr_share = target_modules, lr_share
        self._base: dict[str, Tensor] = {}

    def attach(self, model: BaseModel, seed: int) -> list[ParameterGroup]:  # noqa: ARG002
        """Lets the weights train; see Method."""
        chosen = {name: parameter for name, parameter in denoiser(model).named_parameters() if self._is_chosen(name)}
        if not chosen:
            raise ConfigError(f"method.target_modules={self.target_modules}: the base model has no such layers")
        self._base = {name: parameter.detach().cpu().clone() for name, parameter in chosen.items()}
        for parameter in chosen.values():
            parameter.requires_grad_(True)
        named = {f"{model.denoiser_name}.{name}": parameter for name, parameter in chosen.items()}
        return [ParameterGroup(model.denoiser_name, named, None, self.lr_share)]

    def only_part(self, model: BaseModel, part: str | None) -> AbstractContextManager[None]:
        """Puts the base model's weights back for another part; see Method."""
        return nullcontext() if part == model.denoiser_name else _exchanged(model, self._base)

    def save(self, model: BaseModel, folder: Path) -> None:
        """Writes the weights as diffusers does; see Method."""
        network = denoiser(model)
        folder.mkdir(parents=True, exist_ok=True)
        own = dict(network.named_parameters())
        if self.target_modules is None:
            own |= dict(network.named_buffers())
            kept = {name: value for name, value in network.config.items() if not name.startswith("_")}
            write_json(folder / "config.json", {"_class_name": type(network).__name__, **kept})
        chosen = {name: tensor for name, tensor in own.items() if name in self._base or self.target_modules is None}
        save_tensors(folder / WEIGHTS, chosen, {"format": "pt"})

    def start(self, model: BaseModel, folder: Path) -> None:
        """Takes the values of a saved checkpoint; see Method."""
        network = denoiser(model)
        own = {name: weight for name, weight in network.named_parameters() if name in self._base}
        # what a whole network's file holds beside its weights never trains
        buffers = dict(network.named_buffers())
        saved = {name: tensor for name, tensor in read_weights(folder).items() if name not in buffers}
        complaint = f"{folder / WEIGHTS}: {{}} weights differ from what `method` trains, first {{}}"
        fill(own, saved, complaint)

    def _is_chosen(self, name: str) -> bool:
        return self.target_modules is None or is_target(name.rpartition(".")[0], self.target_modules)


class OwnWeightsFormat:
    """A denoiser of diffusers, whole or in part; see AdapterFormat."""

    files = (WEIGHTS,)

    def check_file(self, folder: Path) -> None:
        """Reads the file; see AdapterFormat."""
        read_weights(folder)

    def check_fit(self, model: BaseModel, folder: Path) -> None:
        """Compares names and shapes; see AdapterFormat."""
        check_weights(model, folder / WEIGHTS, read_weights(folder))

    @contextmanager
    def applied(self, model: BaseModel, folder: Path) -> Iterator[None]:
        """Exchanges the weights; see AdapterFormat."""
        tensors = read_weights(folder)
        check_weights(model, folder / WEIGHTS, tensors)
        with _exchanged(model, tensors):
            yield

    def changes(self, model: BaseModel, folder: Path) -> dict[str, Tensor]:
        """Subtracts the base's weights; see AdapterFormat."""
        tensors = read_weights(folder)
        check_weights(model, folder / WEIGHTS, tensors)
        own = denoiser(model).state_dict()
        return {
            f"{model.denoiser_name}.{name}": tensor.to(own[name].device).float() - own[name].float()
            for name, tensor in tensors.items()
            if tensor.is_floating_point()
        }


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Reads saved weights, by the denoiser's names; errors as of `read_tensors`."""
    return read_tensors(folder, WEIGHTS, MAX_FILE_BYTES)[0]


def check_weights(model: BaseModel, path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Compares saved weights with a base model's.

    Args:
        model: The base.
        path: For the message.
        tensors: From `read_weights`.

    Raises:
        ModelMismatchError: A weight is not the base model's, or has another shape.
    """
    own = denoiser(model).state_dict()
    if not tensors:
        raise ModelMismatchError(f"{path}: holds no weights")
    for name, tensor in tensors.items():
        if name not in own or own[name].shape != tensor.shape:
            raise ModelMismatchError(
                f"{path}: {name[:200]!r} is no weight of this base model; it was trained on another"
            )


@contextmanager
def _exchanged(model: BaseModel, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Puts other weights in; afterwards the earlier ones are there again, to the last bit."""
    own = dict(denoiser(model).named_parameters()) | dict(denoiser(model).named_buffers())
    earlier = {name: own[name].data for name in tensors}
    try:
        for name, tensor in tensors.items():
            own[name].data = torch.empty_like(own[name].data).copy_(tensor)
        yield
    finally:
        for name, data in earlier.items():
            own[name].data = data
