"""Low-rank adapters through peft: attach, switch off, take off. adapter_files.py saves and loads them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from peft import LoraConfig
from torch import Tensor

from src.core.errors import ConfigError
from src.core.seeding import derive_seed
from src.models.stable_diffusion import StableDiffusion


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate.

    Attributes:
        name: ``unet`` or ``text_encoder``.
        parameters: By full name, in a fixed order; all float32.
        lr: The learning rate; None for the run's own.
    """

    name: str
    parameters: dict[str, torch.nn.Parameter]
    lr: float | None


class LoraMethod:
    """LoRA on the UNet's attention and, if asked for, on the text encoder(s); DoRA with `use_dora`.

    Papers: LoRA (Hu et al., 2021), arXiv:2106.09685: W + (alpha / rank) B A; DoRA (Liu et al., 2024),
    arXiv:2402.09353. The adapter is float32 whatever the base is kept in: in bfloat16 most entries of A
    could not move at all, as an Adam step is smaller than half their spacing.

    Args:
        rank: Of the update, >= 1.
        alpha: The update is scaled by alpha / rank, > 0.
        dropout: On the adapter's input, in [0, 1).
        target_modules: Suffixes of the UNet's layers to adapt.
        use_dora: Learn magnitudes apart from directions.
        train_text_encoder: Adapt the text encoder(s), too.
        text_encoder_lr: Their learning rate.
        text_encoder_target_modules: Suffixes of their layers.

    Raises:
        ConfigError: A value is out of range.
    """

    def __init__(
        self,
        rank: int,
        alpha: float,
        dropout: float,
        target_modules: list[str],
        use_dora: bool,
        train_text_encoder: bool,
        text_encoder_lr: float,
        text_encoder_target_modules: list[str],
    ) -> None:
        if rank < 1 or not alpha > 0 or not 0 <= dropout < 1:
            raise ConfigError(
                f"method: rank={rank} (expected >= 1), alpha={alpha} (> 0), dropout={dropout} (in [0, 1))"
            )
        if not text_encoder_lr >= 0:
            raise ConfigError(f"method.text_encoder_lr={text_encoder_lr}: expected 0 or more")
        if use_dora and train_text_encoder:
            raise ConfigError(
                "method: use_dora=true with train_text_encoder=true: diffusers does not load the text encoder's "
                "magnitudes back, so the result could not be used"
            )
        self.train_text_encoder = train_text_encoder
        self.text_encoder_lr = text_encoder_lr
        common = {"r": rank, "lora_alpha": alpha, "lora_dropout": dropout, "use_dora": use_dora}
        self._unet = LoraConfig(**common, init_lora_weights="gaussian", target_modules=list(target_modules))
        self._text = LoraConfig(
            **common, init_lora_weights="gaussian", target_modules=list(text_encoder_target_modules)
        )

    def attach(self, model: StableDiffusion, seed: int) -> list[ParameterGroup]:
        """Adds fresh adapters; B starts at zero, so the model's output does not change yet.

        Args:
            model: The frozen base.
            seed: Of the initial weights.

        Returns:
            What trains: a group for the UNet and, if asked for, one for the text encoder(s).
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "adapter"))
            _add_adapter(model.pipeline.unet, self._unet, "method.target_modules")
            if self.train_text_encoder:
                for name, encoder in model.text_encoders.items():
                    _add_adapter(encoder, self._text_config(model, name), "method.text_encoder_target_modules")
        groups = [ParameterGroup("unet", _trainable({"unet": model.pipeline.unet}), None)]
        if self.train_text_encoder:
            groups.append(ParameterGroup("text_encoder", _trainable(model.text_encoders), self.text_encoder_lr))
        return groups

    def _text_config(self, model: StableDiffusion, name: str) -> LoraConfig:
        """Leaves out the last layer of SDXL's first encoder: the layer before it is what the UNet reads."""
        if not (model.is_xl and name == "text_encoder"):
            return self._text
        last = model.text_encoders[name].config.num_hidden_layers - 1
        return replace(self._text, exclude_modules=rf".*\.layers\.{last}\..*")


def _add_adapter(module: Any, config: LoraConfig, key: str) -> None:
    try:
        module.add_adapter(config)
    except ValueError as error:
        raise ConfigError(f"{key}={sorted(config.target_modules or [])}: {error}") from error


def _trainable(modules: dict[str, Any]) -> dict[str, torch.nn.Parameter]:
    parameters = {
        f"{component}.{name}": parameter
        for component, module in modules.items()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }
    for parameter in parameters.values():
        parameter.data = parameter.data.float()
    return parameters


def adapted(model: StableDiffusion) -> dict[str, Any]:
    """Returns the parts of the model that carry an adapter, by component name."""
    modules = {"unet": model.pipeline.unet, **model.text_encoders}
    return {name: module for name, module in modules.items() if getattr(module, "peft_config", None)}


def make_float32(model: StableDiffusion) -> None:
    """Turns the adapter's own parameters to float32, whatever the base is kept in."""
    for module in adapted(model).values():
        for name, parameter in module.named_parameters():
            if ".lora_" in name:
                parameter.data = parameter.data.float()


def unload_adapter(model: StableDiffusion) -> None:
    """Takes any adapter off the base model."""
    if adapted(model):
        model.pipeline.unload_lora_weights()


@contextmanager
def _disabled(modules: list[Any]) -> Iterator[None]:
    for module in modules:
        module.disable_adapters()
    try:
        yield
    finally:
        for module in modules:
            module.enable_adapters()


def only_part(model: StableDiffusion, part: str | None) -> AbstractContextManager[None]:
    """Switches off the adapters of every part but one, to see what each contributes.

    Args:
        model: A base with adapters attached.
        part: ``unet`` or ``text_encoder``; None leaves all on.

    Returns:
        A context in which the others are off.
    """
    off = {None: [], "unet": list(model.text_encoders.values()), "text_encoder": [model.pipeline.unet]}[part]
    return _disabled([module for module in off if module in adapted(model).values()])


def adapter_state(groups: list[ParameterGroup]) -> dict[str, Tensor]:
    """Copies the trained weights, by full name, to the CPU."""
    return {name: p.detach().cpu().clone() for group in groups for name, p in group.parameters.items()}
