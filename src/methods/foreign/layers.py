"""Sorts the tensors of an adapter's file by layer and writes down what each layer's update is."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from src.core.errors import ModelMismatchError
from src.methods.files import MAX_FILE_BYTES
from src.methods.foreign.names import find_part
from src.methods.foreign.originals import MODULATIONS, Target
from src.methods.foreign.updates import LORA, SCALE, change, kind_of
from src.methods.lora_header import MAX_ALPHA

# what has a row for each output of a layer
ROWS = ("up", "diff", "diff_b", "dora_scale", "magnitude", "hada_w1_a", "hada_w2_a")
# what a file of somebody else may be kept in; anything narrower is widened
KEPT = (torch.float16, torch.bfloat16, torch.float32)


@dataclass
class Update:
    """What a file does to a layer.

    Attributes:
        key: One of its tensors in the file, for messages.
        renamed: As of Part.
        parts: By the names of PARTS; alpha apart.
        alpha: What the file says of it.
    """

    key: str
    renamed: bool
    parts: dict[str, Tensor] = field(default_factory=dict)
    alpha: float | None = None

    @property
    def kind(self) -> str:
        """One of LORA, LOHA, LOKR and DIFF."""
        kind = kind_of(self.parts)
        assert kind is not None, "`read_updates` lets nothing else through"
        return kind


def read_updates(tensors: Mapping[str, Tensor]) -> dict[str, Update]:
    """Finds the layer of every tensor.

    Args:
        tensors: Of an adapter's file, by name.

    Returns:
        By component and layer, as diffusers calls them.

    Raises:
        ModelMismatchError: A tensor is no part of an update, is of no layer, is no finite number, or does not fit the
            others of its layer.
    """
    updates: dict[str, Update] = {}
    check_widened(tensors)
    for key in sorted(tensors):
        part, tensor = find_part(key), checked(key, tensors[key])
        if part is None:
            raise ModelMismatchError(f"{key[:200]!r} is no part of an adapter that can be read here")
        for target in part.layers:
            layer = f"{part.component}.{target.layer}"
            update = updates.setdefault(layer, Update(key, part.renamed))
            if part.name in update.parts or (part.name == "alpha" and update.alpha is not None):
                raise ModelMismatchError(f"{key[:200]!r} comes twice: {update.key[:200]!r} is of the same layer")
            if part.name == "alpha":
                update.alpha = _single(key, tensor)
            else:
                update.parts[part.name] = _share(key, part.name, tensor, target)
    if not updates:
        raise ModelMismatchError("holds no tensors")
    return {layer: _whole(layer, update) for layer, update in updates.items()}


def check_widened(tensors: Mapping[str, Tensor]) -> None:
    """Refuses tensors that would be larger than any adapter once `checked` has widened them; ModelMismatchError."""
    size = sum(tensor.numel() * (tensor.itemsize if tensor.dtype in KEPT else 4) for tensor in tensors.values())
    if size > MAX_FILE_BYTES:
        raise ModelMismatchError(f"over {MAX_FILE_BYTES >> 30} GiB in the precision that it is read in")


def checked(key: str, tensor: Tensor) -> Tensor:
    """Widens a tensor of a file.

    Args:
        key: Its name, for the message.
        tensor: Of the file.

    Returns:
        The same values in one of KEPT.

    Raises:
        ModelMismatchError: It is empty, or holds something else than finite numbers.
    """
    if not tensor.dtype.is_floating_point:
        raise ModelMismatchError(f"{key[:200]!r} holds {tensor.dtype}, expected floating point numbers")
    if tensor.numel() == 0:
        raise ModelMismatchError(f"{key[:200]!r} is empty")
    try:
        tensor = tensor if tensor.dtype in KEPT else tensor.float()
    except NotImplementedError as error:
        raise ModelMismatchError(f"{key[:200]!r} holds {tensor.dtype}, which cannot be widened to float32") from error
    if not torch.isfinite(tensor).all():
        raise ModelMismatchError(f"{key[:200]!r} holds numbers that are not finite")
    return tensor


def _single(key: str, tensor: Tensor) -> float:
    if tensor.numel() != 1 or not 0 <= float(tensor) <= MAX_ALPHA:
        found = f"{tensor.numel()} numbers" if tensor.numel() != 1 else f"{float(tensor):g}"
        raise ModelMismatchError(f"{key[:200]!r} is {found}, expected one number of at least 0")
    return float(tensor)


def _share(key: str, name: str, tensor: Tensor, target: Target) -> Tensor:
    """Cuts out what belongs to one of the layers that a tool has as one."""
    if tensor.ndim == 0:
        raise ModelMismatchError(f"{key[:200]!r} is a single number, expected a vector or more")
    if target.of == 1 or name not in ROWS or tensor.shape[0] == 1:
        if target.of > 1 and name.startswith(("lokr", "hada_t")):
            raise ModelMismatchError(f"{key[:200]!r}: several layers as one can be cut apart in LoRA and LoHa alone")
        # a file may not hold one tensor twice
        return tensor if target.of == 1 else tensor.clone()
    rows, rest = divmod(tensor.shape[0], target.of)
    if rest:
        raise ModelMismatchError(f"{key[:200]!r} has {tensor.shape[0]} rows, expected a multiple of {target.of}")
    return tensor[rows * target.start : rows * target.stop].clone()


def _whole(layer: str, update: Update) -> Update:
    """Refuses what lacks a part; gives alpha a meaning."""
    parts, kind = update.parts, kind_of(update.parts)
    if kind is None:
        raise ModelMismatchError(
            f"{update.key[:200]!r}: {layer} has {', '.join(sorted(parts))}, which is no whole update"
        )
    if update.renamed and layer.endswith(MODULATIONS):
        parts = _swapped(update, kind)
    ones = {name: torch.empty(tensor.shape, device="meta") for name, tensor in parts.items()}
    try:
        if set(parts) != {"diff_b"}:
            change(ones | {SCALE: torch.ones((), device="meta")})
    except (RuntimeError, IndexError) as error:
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in sorted(parts.items()))
        raise ModelMismatchError(f"{update.key[:200]!r}: {layer} has {shapes}, which do not fit each other") from error
    return replace(update, parts=parts)


def _swapped(update: Update, kind: str) -> dict[str, Tensor]:
    """Puts scale before shift, as diffusers has them where the last layer is modulated."""
    parts = update.parts
    if kind != LORA or "dora_scale" in parts:
        raise ModelMismatchError(f"{update.key[:200]!r}: a modulation, which can be read as a plain LoRA alone")
    if parts["up"].shape[0] != 2 * parts["down"].shape[1]:
        return parts
    return parts | {"up": torch.cat(parts["up"].chunk(2)[::-1])}


def alpha_of(update: Update, rank: int, noted: float | None) -> float:
    """Returns a layer's alpha; its update is multiplied with alpha / rank.

    Args:
        update: The layer's.
        rank: Of the layer.
        noted: Alpha by the file's header, or None.

    Returns:
        The rank where neither tensor nor header tell alpha, as all tools have it; kohya's scripts take 0 for a missing
        one.
    """
    return update.alpha or noted or rank
