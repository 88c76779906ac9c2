"""What an adapter does to a layer's weight W, whatever its kind, and that its tensors fit each other.

LoRA (Hu et al., 2021), arXiv:2106.09685: s B A, with LoCon's Tucker form for convolutions; LoHa (Hyeon-Woo et al.,
2021), arXiv:2108.06098: s (A1 B1) * (A2 B2); LoKr (Yeh et al., 2023), arXiv:2309.14859: s A (x) B; DoRA (Liu et al.,
2024), arXiv:2402.09353: m (W + D) / |W + D|. As LyCORIS computes them, in whose names and shapes the tensors are.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

LORA, LOHA, LOKR, DIFF = "LoRA", "LoHa", "LoKr", "difference of weights"
# sets of parts, any of which is whole; `alpha`, and of what scales W `dora_scale` or `magnitude`, may be beside it
_W1, _W2 = ({"lokr_w1"}, {"lokr_w1_a", "lokr_w1_b"}), ({"lokr_w2"}, {"lokr_w2_a", "lokr_w2_b"})
_HADA = {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}
WHOLE: dict[str, list[set[str]]] = {
    LORA: [{"down", "up"}, {"down", "up", "mid"}],
    LOHA: [_HADA, _HADA | {"hada_t1", "hada_t2"}],
    LOKR: [first | second for first in _W1 for second in _W2] + [first | _W2[1] | {"lokr_t2"} for first in _W1],
    DIFF: [{"diff"}, {"diff", "diff_b"}, {"diff_b"}],
}
SCALE = "scale"
BESIDE = {"alpha", "dora_scale", "magnitude"}


def kind_of(parts: Mapping[str, Tensor]) -> str | None:
    """Names the kind of a layer's update; None where parts are missing or are of several kinds."""
    found = set(parts) - BESIDE - {SCALE}
    beside = set(parts) & BESIDE
    if len(beside - {"alpha"}) > 1:
        return None
    return next((kind for kind, wholes in WHOLE.items() if found in wholes), None)


def rank_of(parts: Mapping[str, Tensor]) -> int | None:
    """Returns the rank that alpha is divided by; None where nothing is decomposed, and alpha counts for nothing."""
    axes = (("down", 0), ("hada_w1_b", 0), ("lokr_w2_b", 0), ("lokr_w1_b", 0))
    return next((parts[name].shape[axis] for name, axis in axes if name in parts), None)


def change(parts: Mapping[str, Tensor]) -> Tensor:
    """Computes what is added to a weight, before DoRA.

    Args:
        parts: Of a layer, one of the sets of WHOLE, and `scale`, a single number.

    Returns:
        (out, in) or (out, in, height, width), or flattened after the first axis, of the parts' dtype.

    Raises:
        RuntimeError: The parts' shapes do not fit each other.
    """
    if "diff" in parts:
        return parts["diff"]
    scale = parts[SCALE].to(next(iter(parts.values())).device)
    if "down" in parts:
        return _lora(parts) * scale
    if "hada_w1_a" in parts:
        first, second = (
            _product(parts[f"hada_w{n}_a"], parts[f"hada_w{n}_b"], parts.get(f"hada_t{n}")) for n in (1, 2)
        )
        return first * second * scale
    first = parts["lokr_w1"] if "lokr_w1" in parts else parts["lokr_w1_a"] @ parts["lokr_w1_b"]
    if "lokr_w2" in parts:
        second = parts["lokr_w2"]
    else:
        second = _product(parts["lokr_w2_a"], parts["lokr_w2_b"], parts.get("lokr_t2"))
    return torch.kron(first.reshape(*first.shape, *[1] * (second.ndim - 2)), second.contiguous()) * scale


def changed(weight: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
    """Computes a layer's new weight.

    Args:
        weight: The base's, float32.
        parts: As of `change`, float32.

    Returns:
        Of the shape of `weight`.
    """
    new = weight + change(parts).reshape(weight.shape)
    scales = parts.get("dora_scale")
    if scales is None:
        return new
    kept = _kept_axis(weight.shape, scales)
    norm = new.transpose(0, kept).flatten(1).norm(dim=1)
    return new * (scales.flatten() / norm).reshape([-1 if axis == kept else 1 for axis in range(weight.ndim)])


def fits(weight: torch.Size, parts: Mapping[str, Tensor]) -> bool:
    """Says whether parts that fit each other fit a weight, too; those of a bias alone do."""
    if not set(parts) - {"diff_b", SCALE}:
        return True
    shape, scales = change(parts).shape, parts.get("dora_scale")
    if scales is not None and (len(weight) < 2 or scales.numel() != weight[_kept_axis(weight, scales)]):
        return False
    return shape[0] == weight[0] and shape.numel() == weight.numel()


def _kept_axis(weight: torch.Size, scales: Tensor) -> int:
    """Tells what DoRA's norms are of: scales are (out, 1, ...), of outputs, or (1, in, ...), of inputs."""
    return 0 if scales.shape[0] == weight[0] else 1


def _lora(parts: Mapping[str, Tensor]) -> Tensor:
    down, up = parts["down"], parts["up"]
    if "mid" in parts:
        return torch.einsum("or,rskl,si->oikl", up.flatten(1), parts["mid"], down.flatten(1))
    return (up.flatten(1) @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])


def _product(a: Tensor, b: Tensor, core: Tensor | None) -> Tensor:
    """Multiplies two factors, (out, rank) and (rank, in); around a Tucker core both have the rank first."""
    return a @ b if core is None else torch.einsum("ijkl,jr,ip->prkl", core, b, a)
