"""LoRA and DoRA."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from peft import LoraConfig
from torch import Tensor

from src.core.errors import ConfigError
from src.core.seeding import derive_seed
from src.methods import peft_layers
from src.methods.base import ParameterGroup
from src.methods.lora_files import WEIGHTS, check_fit, load_adapter, read_adapter, save_adapter, start_adapter
from src.models.base import QUANTIZED, BaseModel, denoiser, text_encoders


class LoraMethod:
    """LoRA on the denoiser's attention and, if asked for, on the text encoder(s); DoRA with `use_dora`.

    Papers: LoRA (Hu et al., 2021), arXiv:2106.09685: W + (alpha / rank) B A; DoRA (Liu et al., 2024),
    arXiv:2402.09353; rank-stabilised scaling (Kalajdzievski, 2023), arXiv:2312.03732. The adapter is float32 whatever
    the base is kept in: in bfloat16 most entries of A could not move at all, as an Adam step is smaller than half their
    spacing.

    Args:
        rank: Of the update, >= 1.
        alpha: The update is scaled by alpha / rank, > 0.
        dropout: On the adapter's input, in [0, 1).
        target_modules: Suffixes of the denoiser's layers to adapt.
        use_dora: Learn magnitudes apart from directions.
        use_rslora: Scale by alpha / sqrt(rank) instead; the file says so as an alpha that every tool understands.
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
        use_rslora: bool,
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
        self.trains_text, self.needs_fp32 = train_text_encoder, False
        # peft 0.21 loses the scales of an int8 layer when it asks for its norms for a second time
        self.quantized_bases: tuple[str, ...] = ("nf4",) if use_dora else QUANTIZED
        self.text_encoder_lr = text_encoder_lr
        common = {
            "r": rank,
            "lora_alpha": alpha * math.sqrt(rank) if use_rslora else alpha,
            "lora_dropout": dropout,
            "use_dora": use_dora,
        }
        self._denoiser = LoraConfig(**common, init_lora_weights="gaussian", target_modules=list(target_modules))
        self._text = LoraConfig(
            **common, init_lora_weights="gaussian", target_modules=list(text_encoder_target_modules)
        )

    def attach(self, model: BaseModel, seed: int) -> list[ParameterGroup]:
        """Adds fresh adapters; B starts at zero; see Method."""
        name, network, encoders = model.denoiser_name, denoiser(model), text_encoders(model)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "adapter"))
            peft_layers.put_on_targets(network, self._denoiser, "method.target_modules")
            if self.trains_text:
                for encoder_name, encoder in encoders.items():
                    unread = model.unread_layers(encoder_name)
                    config = replace(self._text, exclude_modules=unread) if unread else self._text
                    peft_layers.put_on_targets(encoder, config, "method.text_encoder_target_modules")
        groups = [ParameterGroup(name, peft_layers.trainable({name: network}), None)]
        if self.trains_text:
            groups.append(ParameterGroup("text_encoder", peft_layers.trainable(encoders), self.text_encoder_lr))
        return groups

    def only_part(self, model: BaseModel, part: str | None) -> AbstractContextManager[None]:
        """Switches off the other part's adapters; see Method."""
        return peft_layers.only_part(model, part)

    def save(self, model: BaseModel, folder: Path) -> None:
        """Writes the adapter as diffusers does; see Method."""
        save_adapter(model, folder)

    def start(self, model: BaseModel, folder: Path) -> None:
        """Takes the values of a saved adapter; see Method."""
        start_adapter(model, folder)


class LoraFormat:
    """A file in the format of diffusers; see AdapterFormat."""

    files = (WEIGHTS,)

    def check_file(self, folder: Path) -> None:
        """Reads the file; see AdapterFormat."""
        read_adapter(folder)

    def check_fit(self, model: BaseModel, folder: Path) -> None:
        """Compares shapes; see AdapterFormat."""
        check_fit(model, folder / WEIGHTS, read_adapter(folder)[0])

    @contextmanager
    def applied(self, model: BaseModel, folder: Path) -> Iterator[None]:
        """Loads the adapter and merges it where that changes rounding alone; see AdapterFormat."""
        load_adapter(model, folder)
        try:
            with peft_layers.merged(model):
                yield
        finally:
            peft_layers.take_off(model)

    def changes(self, model: BaseModel, folder: Path) -> dict[str, Tensor]:
        """Multiplies the factors; see AdapterFormat."""
        load_adapter(model, folder)
        try:
            return peft_layers.changes(model)
        finally:
            peft_layers.take_off(model)
