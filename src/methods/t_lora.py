"""T-LoRA: LoRA whose rank grows as the noise falls.

What the rank is at a noise level is no weight, so no file of LoRA can say it. The file is therefore one of its own
name, whose header makes `pipeline.load_lora_weights` refuse it; its tensors are those of a LoRA, in the diffusers
format, for who wants all ranks at every noise level.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from src.core.errors import ConfigError, ModelMismatchError
from src.core.seeding import derive_seed
from src.methods import begun, peft_layers
from src.methods.base import ParameterGroup
from src.methods.lora_files import check_fit, load_adapter, read_adapter, save_factors
from src.methods.lora_header import recorded_numbers
from src.models.base import QUANTIZED, BaseModel, denoiser

WEIGHTS = "t_lora_weights.safetensors"


@dataclass(frozen=True)
class Ranks:
    """How many ranks work at a noise level.

    Paper: T-LoRA (Soboleva et al., 2025), arXiv:2507.05964, equation 4; `power` as `alpha_rank_scale` of its code.

    Attributes:
        rank: Without noise, >= 1.
        min_rank: Where there is nothing but noise, in [1, rank].
        power: 1 grows evenly; the larger, the later.
    """

    rank: int
    min_rank: int
    power: float

    def mask(self, timestep: Tensor, full_noise: float) -> Tensor:
        """Says which ranks work, the first ones first.

        Args:
            timestep: What the denoiser is told, (B,) or ().
            full_noise: What it is told where there is nothing but noise.

        Returns:
            Ones and zeros, (B, rank) or (1, rank), float32.
        """
        told = timestep.reshape(-1, 1).double()
        share = ((full_noise - told) / full_noise).clamp(0, 1) ** self.power
        working = (share * (self.rank - self.min_rank)).floor() + self.min_rank
        return (torch.arange(self.rank, device=told.device) < working).float()

    def notes(self) -> dict[str, float]:
        """Returns what the file's header says."""
        return {f"t_lora_{name}": value for name, value in vars(self).items()}

    @staticmethod
    def read(path: Path, metadata: Mapping[str, str]) -> "Ranks":
        """Reads what a file's header says.

        Args:
            path: For the message.
            metadata: Of the header.

        Returns:
            The ranks.

        Raises:
            ModelMismatchError: It says nothing of them, or what cannot be.
        """
        found = {name: recorded_numbers(path, metadata, f"t_lora_{name}") for name in ("rank", "min_rank", "power")}
        numbers = {name: next(iter(value.values()), 0.0) for name, value in found.items()}
        rank, min_rank = int(numbers["rank"]), int(numbers["min_rank"])
        if not 1 <= min_rank <= rank or not numbers["power"] > 0:
            raise ModelMismatchError(f"{path}: the header does not say the ranks of a T-LoRA")
        return Ranks(rank, min_rank, numbers["power"])


class TLoraMethod:
    """LoRA on the denoiser that has fewer ranks where there is more noise, which is where it would overfit.

    Paper: T-LoRA (Soboleva et al., 2025), arXiv:2507.05964. With `orthogonal` the factors begin as section 4.2 has it,
    W + B S M_t A - B_0 S_0 M_t A_0 with orthonormal A_0 and B_0 and the last singular values of a random matrix in S_0,
    so that ranks are independent and the ones that are masked are missed; without it as LoRA does ("vanilla T-LoRA").

    Args:
        rank: Without noise, >= 1; the file of an orthogonal one has twice as much.
        min_share: Of the rank where there is nothing but noise, in (0, 1]; the paper's 0.5.
        power: 1 lets the rank grow evenly as the timestep falls; the larger, the later.
        alpha: The update is scaled by alpha / rank, > 0; the paper has no such factor, which is alpha = rank.
        orthogonal: See above.
        target_modules: Suffixes of the denoiser's layers to adapt.

    Raises:
        ConfigError: A value is out of range.
    """

    def __init__(
        self, rank: int, min_share: float, power: float, alpha: float, orthogonal: bool, target_modules: list[str]
    ) -> None:
        if rank < 1 or not alpha > 0 or not 0 < min_share <= 1 or not power > 0:
            raise ConfigError(
                f"method: rank={rank} (expected >= 1), alpha={alpha} (> 0), min_share={min_share} (in (0, 1]), "
                f"power={power} (> 0)"
            )
        self.trains_text, self.needs_fp32, self.quantized_bases = False, False, QUANTIZED
        self.ranks, self.orthogonal = Ranks(rank, max(1, int(min_share * rank)), power), orthogonal
        halves = 2 if orthogonal else 1
        self._config = LoraConfig(
            r=halves * rank,
            lora_alpha=halves * alpha,
            init_lora_weights="gaussian",
            target_modules=list(target_modules),
        )

    def attach(self, model: BaseModel, seed: int) -> list[ParameterGroup]:
        """Adds a fresh adapter and lets it hear the timestep; see Method."""
        network = denoiser(model)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "adapter"))
            peft_layers.put_on_targets(network, self._config, "method.target_modules")
            if self.orthogonal:
                _begin_orthogonal(network, self.ranks.rank)
        listen(model, self.ranks)
        return [ParameterGroup(model.denoiser_name, peft_layers.trainable({model.denoiser_name: network}), None)]

    def only_part(self, model: BaseModel, part: str | None) -> AbstractContextManager[None]:
        """Switches the adapter off for another part; see Method."""
        return peft_layers.only_part(model, part)

    def save(self, model: BaseModel, folder: Path) -> None:
        """Writes factors and ranks; see Method."""
        save_factors(model, folder / WEIGHTS, begun.factors(model), self.ranks.notes(), {})

    def start(self, model: BaseModel, folder: Path) -> None:
        """Takes the values of a saved adapter; see Method."""
        path = folder / WEIGHTS
        saved = Ranks.read(path, read_adapter(folder, WEIGHTS)[1])
        if saved != self.ranks:
            raise ModelMismatchError(f"{path}: has {saved}, `method` trains {self.ranks}")
        begun.start(model, folder, WEIGHTS)


class TLoraFormat:
    """Factors in the diffusers format, and how many of them work; see AdapterFormat."""

    files = (WEIGHTS,)

    def check_file(self, folder: Path) -> None:
        """Reads the file; see AdapterFormat."""
        Ranks.read(folder / WEIGHTS, read_adapter(folder, WEIGHTS)[1])

    def check_fit(self, model: BaseModel, folder: Path) -> None:
        """Compares shapes; see AdapterFormat."""
        check_fit(model, folder / WEIGHTS, read_adapter(folder, WEIGHTS)[0])

    @contextmanager
    def applied(self, model: BaseModel, folder: Path, weight: float = 1.0) -> Iterator[None]:
        """Loads the adapter and lets it hear the timestep; nothing can be merged; see AdapterFormat.

        Args:
            model: The base.
            folder: A checkpoint folder.
            weight: How much of it.

        Yields:
            Nothing.

        Raises:
            ModelMismatchError: As of AdapterFormat.
        """
        path = folder / WEIGHTS
        ranks = Ranks.read(path, read_adapter(folder, WEIGHTS)[1])
        load_adapter(model, folder, WEIGHTS)
        handles: list[RemovableHandle] = []
        try:
            found = {layer.r[peft_layers.ADAPTER] for layer in begun.layers(denoiser(model)).values()}
            if found - {ranks.rank, 2 * ranks.rank}:
                raise ModelMismatchError(f"{path}: layers of rank {sorted(found)}, the header says {ranks.rank}")
            handles += listen(model, ranks)
            for layer in begun.layers(denoiser(model)).values():
                layer.scaling[peft_layers.ADAPTER] *= weight
            yield
        finally:
            for handle in handles:
                handle.remove()
            peft_layers.take_off(model)

    def changes(self, model: BaseModel, folder: Path) -> dict[str, Tensor]:  # noqa: ARG002
        """Returns nothing: what is added is another at every timestep, so layers add it; see AdapterFormat."""
        return {}


def listen(model: BaseModel, ranks: Ranks) -> list[RemovableHandle]:
    """Lets the denoiser's LoRA layers use the ranks of each sample's timestep, whoever calls the denoiser.

    A pipeline tells all samples, both halves of classifier-free guidance among them, one timestep; training tells each
    its own.

    Args:
        model: A base with an adapter attached.
        ranks: Which work when; a layer of twice as many has two halves that are masked alike.

    Returns:
        What takes it back.
    """
    network, heard = denoiser(model), _Heard()
    signature = inspect.signature(type(network).forward)

    def hear(owner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        timestep = signature.bind(owner, *args, **kwargs).arguments["timestep"]
        heard.mask = ranks.mask(torch.as_tensor(timestep), model.full_noise)

    handles = [network.register_forward_pre_hook(hear, with_kwargs=True)]
    for layer in begun.layers(network).values():
        handles.append(layer.lora_A[peft_layers.ADAPTER].register_forward_hook(_masking(heard)))
    return handles


class _Heard:
    """The ranks of the forward pass that is under way; recomputed activations are of the same one."""

    mask: Tensor


def _masking(heard: _Heard) -> Callable[[Any, Any, Tensor], Tensor]:
    def masked(factor: Any, _: Any, inner: Tensor) -> Tensor:
        axis = 1 if isinstance(factor, torch.nn.Conv2d) else inner.ndim - 1
        mask = heard.mask.to(inner).repeat(1, inner.shape[axis] // heard.mask.shape[1])
        return inner * mask.view(len(mask), *(-1 if at == axis else 1 for at in range(1, inner.ndim)))

    return masked


def _begin_orthogonal(network: Any, rank: int) -> None:
    values: dict[torch.Size, Tensor] = {}
    for name, layer in begun.layers(network).items():
        begun.check_rank(name, layer, rank)
        shape = begun.as_matrix(layer).shape
        # a random matrix' singular vectors do not depend on its values, so those are found once for a shape
        if shape not in values:
            values[shape] = torch.linalg.svdvals(torch.randn(shape) / rank)[-rank:]
        a, b = _orthonormal(shape[1], rank).T, _orthonormal(shape[0], rank)
        begun.begin(layer, *begun.as_factors(layer, a, b), values[shape])


def _orthonormal(length: int, count: int) -> Tensor:
    """Draws orthonormal columns, uniformly: (length, count); Mezzadri (2006), arXiv:math-ph/0609050."""
    q, r = torch.linalg.qr(torch.randn(length, count))
    return q * r.diagonal().sign()
