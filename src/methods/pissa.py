"""PiSSA: LoRA that begins as the largest singular parts of each weight.

The paper takes those parts off the base model's weights. Here the weights stay, and the parts are taken off by a frozen
half of the adapter: the same function, also over a base in half precision, whose rounding would otherwise remain. The
file is a LoRA of twice the rank that every tool reads over the untouched base model.
"""

from contextlib import AbstractContextManager
from pathlib import Path

import torch
from peft import LoraConfig

from src.core.errors import ConfigError, ModelMismatchError
from src.methods import begun, peft_layers
from src.methods.base import ParameterGroup
from src.methods.lora_files import WEIGHTS, read_adapter, save_factors
from src.models.base import QUANTIZED, BaseModel, denoiser

ORIGIN = {"begun_as": "pissa"}


class PissaMethod:
    """LoRA on the denoiser that begins with the principal singular values and vectors.

    Paper: PiSSA (Meng et al., 2024), arXiv:2404.02948, equations 2 and 3: A = S^(1/2) V^T and B = U S^(1/2) of the
    `rank` largest singular values. Its appendix on conversion has the same file: [B, -B_0] [A; A_0].

    Args:
        rank: Of what trains, >= 1; the file has twice as much.
        alpha: The update is scaled by alpha / rank, > 0; the beginning does not depend on it.
        target_modules: Suffixes of the denoiser's layers to adapt.

    Raises:
        ConfigError: A value is out of range.
    """

    def __init__(self, rank: int, alpha: float, target_modules: list[str]) -> None:
        if rank < 1 or not alpha > 0:
            raise ConfigError(f"method: rank={rank} (expected >= 1), alpha={alpha} (> 0)")
        self.trains_text, self.needs_fp32, self.quantized_bases = False, False, QUANTIZED
        self.rank, self.scale = rank, alpha / rank
        # twice the rank and twice alpha: the same scale
        self._config = LoraConfig(r=2 * rank, lora_alpha=2 * alpha, target_modules=list(target_modules))

    def attach(self, model: BaseModel, seed: int) -> list[ParameterGroup]:  # noqa: ARG002
        """Adds the adapter; nothing of it is random; see Method."""
        network = denoiser(model)
        with torch.random.fork_rng(devices=[]):
            peft_layers.put_on_targets(network, self._config, "method.target_modules")
        for name, layer in begun.layers(network).items():
            begun.check_rank(name, layer, self.rank)
            u, s, vt = torch.linalg.svd(begun.as_matrix(layer), full_matrices=False)
            root = (s[: self.rank] / self.scale).sqrt()
            a, b = root[:, None] * vt[: self.rank], u[:, : self.rank] * root
            begun.begin(layer, *begun.as_factors(layer, a, b), None)
        return [ParameterGroup(model.denoiser_name, peft_layers.trainable({model.denoiser_name: network}), None)]

    def only_part(self, model: BaseModel, part: str | None) -> AbstractContextManager[None]:
        """Switches the adapter off for another part; see Method."""
        return peft_layers.only_part(model, part)

    def save(self, model: BaseModel, folder: Path) -> None:
        """Writes a LoRA of twice the rank; see Method."""
        save_factors(model, folder / WEIGHTS, begun.factors(model), {}, ORIGIN)

    def start(self, model: BaseModel, folder: Path) -> None:
        """Takes the values of a saved adapter; see Method."""
        if not ORIGIN.items() <= read_adapter(folder)[1].items():
            raise ModelMismatchError(f"{folder / WEIGHTS}: a LoRA that did not begin as PiSSA; expected one that did")
        begun.start(model, folder, WEIGHTS)
