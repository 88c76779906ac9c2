"""Adapters of peft other than LoRA: LoHa, LoKr, OFT, BOFT and their like, chosen by name.

The files are peft's own: `peft.PeftModel.from_pretrained(pipeline.unet, FOLDER)` reads them.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, get_peft_model_state_dict
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.utils import PeftType
from torch import Tensor

from src.core.errors import ConfigError, ModelMismatchError
from src.core.files import write_json
from src.core.seeding import derive_seed
from src.methods import peft_layers
from src.methods.base import ParameterGroup, is_target
from src.methods.files import read_tensors
from src.methods.peft_settings import read_settings
from src.models.base import QUANTIZED, BaseModel, denoiser
from src.models.tensors import fill, save_tensors

WEIGHTS, SETTINGS = "adapter_model.safetensors", "adapter_config.json"
# Those of the installed peft that begin as the base model, can be merged into it and taken off again; the first ones
# also on convolutions. LoRA has a method of its own, for its files.
WITH_CONVOLUTIONS = ("loha", "lokr", "boft", "hra", "hira")
LINEAR = ("oft", "deft", "delora", "glora", "gralora", "psoft")
TUNERS = WITH_CONVOLUTIONS + LINEAR
# What they do over a quantised layer is what they do over its numbers. The others take the codes for numbers, without a
# word in int8; loha and lokr take their shape from those, which 4 bits change.
OVER_CODES = {"oft": QUANTIZED, "boft": QUANTIZED, "gralora": QUANTIZED, "loha": ("int8",), "lokr": ("int8",)}
# they look at a convolution's weight as at a matrix, which torch refuses in channels-last order
AS_MATRIX = ("boft", "hra")
PREFIX = "base_model.model."
MAX_SETTING = 4096
# settings of a saved adapter that change nothing: the tensors say of which layers it is
SAID_BY_TENSORS = ("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern")


class TunerMethod:
    """One of peft's adapters on the denoiser.

    Papers: LoHa (Hyeon-Woo et al., 2021), arXiv:2108.06098; LoKr (Yeh et al., 2023), arXiv:2309.14859; OFT (Qiu et al.,
    2023), arXiv:2306.07280; BOFT (Liu et al., 2023), arXiv:2311.06243; HRA (Yuan et al., 2024), arXiv:2405.17484; of
    the others peft's documentation names them.

    Args:
        tuner: Which, one of TUNERS.
        options: Its own settings, as peft calls them: numbers up to 4096 and switches.
        target_modules: Suffixes of the denoiser's layers to adapt; kinds that know no convolutions leave those out.

    Raises:
        ConfigError: There is no such adapter, or it has no such setting.
    """

    def __init__(self, tuner: str, options: dict[str, Any], target_modules: list[str]) -> None:
        self.trains_text = self.needs_fp32 = False
        self._config = tuner_config(tuner, options, target_modules)
        self.quantized_bases = OVER_CODES.get(tuner, ())

    def attach(self, model: BaseModel, seed: int) -> list[ParameterGroup]:
        """Adds a fresh adapter; see Method."""
        network = denoiser(model)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "adapter"))
            _put_on(network, replace(self._config, target_modules=self._chosen(network)))
        return [ParameterGroup(model.denoiser_name, peft_layers.trainable({model.denoiser_name: network}), None)]

    def _chosen(self, network: Any) -> list[str]:
        wanted = sorted(self._config.target_modules)
        kinds: tuple[type, ...] = (torch.nn.Linear,)
        if tuner_name(self._config) in WITH_CONVOLUTIONS:
            kinds = (torch.nn.Linear, torch.nn.Conv2d)
        found = [
            name for name, layer in network.named_modules() if is_target(name, wanted) and isinstance(layer, kinds)
        ]
        if not found:
            raise ConfigError(f"method.target_modules={wanted}: no layers of the base model that this adapter knows")
        return found

    def only_part(self, model: BaseModel, part: str | None) -> AbstractContextManager[None]:
        """Switches off the adapter for another part; see Method."""
        return peft_layers.only_part(model, part)

    def save(self, model: BaseModel, folder: Path) -> None:
        """Writes the adapter as peft does; see Method."""
        folder.mkdir(parents=True, exist_ok=True)
        save_tensors(folder / WEIGHTS, {PREFIX + name: tensor for name, tensor in _state(model).items()}, {})
        layers = adapted_layers(model, _state(model), folder / WEIGHTS)
        said = {"peft_type": self._config.peft_type, "target_modules": layers}
        write_json(folder / SETTINGS, _settings(self._config) | said)

    def start(self, model: BaseModel, folder: Path) -> None:
        """Takes the values of a saved adapter; see Method."""
        tensors, saved = read_tuner(folder)
        own = _settings(self._config)
        if differing := sorted(name for name, value in _settings(saved).items() if own.get(name) != value):
            raise ModelMismatchError(f"{folder / SETTINGS}: {differing[0]} is another than `method` trains with")
        _fill(model, tensors, folder / WEIGHTS)


class TunerFormat:
    """A folder as peft writes it; see AdapterFormat."""

    files = (WEIGHTS, SETTINGS)

    def check_file(self, folder: Path) -> None:
        """Reads the files; see AdapterFormat."""
        read_tuner(folder)

    def check_fit(self, model: BaseModel, folder: Path) -> None:
        """Finds the layer of every tensor; see AdapterFormat."""
        with _put(model, folder):
            pass

    @contextmanager
    def applied(self, model: BaseModel, folder: Path) -> Iterator[None]:
        """Loads the adapter and merges it where that changes rounding alone; see AdapterFormat."""
        with _put(model, folder), peft_layers.merged(model):
            yield

    def changes(self, model: BaseModel, folder: Path) -> dict[str, Tensor]:
        """Merges one layer after the other; see AdapterFormat."""
        with _put(model, folder):
            return peft_layers.changes(model)


def tuner_config(tuner: str, options: Mapping[str, Any], target_modules: list[str]) -> PeftConfig:
    """Makes peft's settings.

    Args:
        tuner: One of TUNERS.
        options: Of that tuner.
        target_modules: Suffixes of layers.

    Returns:
        The settings.

    Raises:
        ConfigError: There is no such adapter, or it has no such setting.
    """
    if lost := sorted(name for name, value in options.items() if not _is_plain(value)):
        raise ConfigError(f"method.options.{lost[0]}: expected a number up to {MAX_SETTING} or a switch")
    if tuner not in TUNERS:
        raise ConfigError(f"method.tuner={tuner}: expected one of {', '.join(sorted(TUNERS))}")
    try:
        config: PeftConfig = _config_class(tuner)(**options, target_modules=list(target_modules))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"method.options: {error}") from error
    return config


def read_tuner(folder: Path) -> tuple[dict[str, Tensor], PeftConfig]:
    """Reads a saved adapter as data: of the settings only numbers and switches that its kind has are taken.

    Args:
        folder: A checkpoint folder.

    Returns:
        Tensors by the denoiser's names, and settings without layers.

    Raises:
        ModelMismatchError: A file is missing, damaged or far too large, or of a kind that is not supported.
    """
    settings = folder / SETTINGS
    content = read_settings(settings)
    tuner = str(content.get("peft_type", "")).lower()
    if tuner not in TUNERS:
        raise ModelMismatchError(
            f"{settings}: peft_type is {tuner[:80]!r}, expected one of {', '.join(sorted(TUNERS))}"
        )
    plain = _honoured(settings, tuner, content)
    tensors, _ = read_tensors(folder, WEIGHTS)
    try:
        config = tuner_config(tuner, plain, [])
    except ConfigError as error:
        raise ModelMismatchError(f"{settings}: {error}") from error
    return {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}, config


def _honoured(path: Path, tuner: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Takes the numbers and switches that a kind of adapter has; refuses what else would change what it does."""
    said = {*SAID_BY_TENSORS, *(field.name for field in fields(PeftConfig))}
    defaults = {field.name: field.default for field in fields(_config_class(tuner)) if field.name not in said}
    plain = {}
    for name, value in content.items():
        # nothing, or what it begins with, which the tensors overwrite
        if name not in defaults or value in (None, {}, []) or (name == "init_weights" and not _is_plain(value)):
            continue
        if _is_plain(value) and (defaults[name] is None or _is_plain(defaults[name])):
            plain[name] = value
        elif value != defaults[name]:
            raise ModelMismatchError(
                f"{path}: {name} is {str(value)[:80]!r}, which cannot be honoured; expected a number up to "
                f"{MAX_SETTING}, a switch, or what peft has where nothing is set"
            )
    return plain


def adapted_layers(model: BaseModel, tensors: Mapping[str, Tensor], path: Path) -> list[str]:
    """Finds the layers that an adapter changes.

    Args:
        model: The base, with or without an adapter.
        tensors: From `read_tuner`.
        path: For the message.

    Returns:
        Names of the denoiser's layers, sorted.

    Raises:
        ModelMismatchError: A tensor belongs to no layer.
    """
    layers = {name for name, layer in denoiser(model).named_modules() if hasattr(layer, "weight")}
    found = set()
    for name in tensors:
        parts = name.split(".")
        owner = next((o for n in range(len(parts) - 1, 0, -1) if (o := ".".join(parts[:n])) in layers), None)
        if owner is None:
            raise ModelMismatchError(f"{path}: {name[:200]!r} belongs to no layer of the base model")
        found.add(owner)
    if not found:
        raise ModelMismatchError(f"{path}: holds no layers")
    return sorted(found)


@contextmanager
def _put(model: BaseModel, folder: Path) -> Iterator[None]:
    """Puts a saved adapter on the base model, unmerged, and takes it off again."""
    path, (tensors, config) = folder / WEIGHTS, read_tuner(folder)
    config.target_modules = set(adapted_layers(model, tensors, path))
    peft_layers.take_off(model)
    earlier = {name: weight.data for name, weight in denoiser(model).named_parameters()}
    try:
        with torch.random.fork_rng(devices=[]):
            try:
                _put_on(denoiser(model), config)
            except ConfigError as error:
                raise ModelMismatchError(f"{folder / SETTINGS}: {error}") from error
        _fill(model, tensors, path)
        yield
    finally:
        peft_layers.take_off(model)
        for name, weight in denoiser(model).named_parameters():
            weight.data = earlier[name]


def _put_on(network: Any, config: PeftConfig) -> None:
    if tuner_name(config) in AS_MATRIX:
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.data = layer.weight.data.contiguous()
    try:
        peft_layers.put_on(network, config)
    except (TypeError, ValueError, NotImplementedError) as error:
        wanted = sorted(config.target_modules or [])
        raise ConfigError(f"method.target_modules={wanted}: {str(error).splitlines()[0]}") from error


def _state(model: BaseModel) -> dict[str, Tensor]:
    state: dict[str, Tensor] = get_peft_model_state_dict(denoiser(model), adapter_name=peft_layers.ADAPTER)
    return state


def _fill(model: BaseModel, tensors: Mapping[str, Tensor], path: Path) -> None:
    fill(_state(model), tensors, f"{path}: {{}} tensors do not fit the base model, first {{}}")


def _config_class(tuner: str) -> type[Any]:
    found: type[Any] = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(tuner.upper())]
    return found


def tuner_name(config: PeftConfig) -> str:
    """Returns which tuner settings are of, one of TUNERS."""
    return str(config.peft_type.value).lower()


def _settings(config: PeftConfig) -> dict[str, Any]:
    return {name: value for name, value in config.to_dict().items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    return type(value) in (bool, int, float) and abs(value) <= MAX_SETTING
