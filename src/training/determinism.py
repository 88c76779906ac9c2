"""Makes the arithmetic of a run repeatable."""

import os

from src.core.provenance import DETERMINISTIC, arithmetic_settings


def set_environment() -> None:
    """Sets what must be set before torch is imported; values that are set already stay, with a line."""
    for name, value in DETERMINISTIC.items():
        os.environ.setdefault(name, value)
    for name, value in arithmetic_settings(os.environ).items():
        print(f"{name}={value} is set: the last bits may differ from a run without it", flush=True)


def numerics() -> dict[str, bool]:
    """Returns what `set_deterministic` chose, and whatever else chose it since; a part of every cache's keys."""
    import torch

    return {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
        "tf32_cudnn": torch.backends.cudnn.allow_tf32,
    }


def set_deterministic(deterministic: bool) -> None:
    """Chooses deterministic kernels and full float32 products, or speed.

    Args:
        deterministic: False allows TF32 and lets cuDNN pick the fastest algorithm.
    """
    import torch

    torch.use_deterministic_algorithms(deterministic)
    # no kernel of ours reads what nobody wrote; SD1.5 would fill 4,267 fresh tensors a step, 3 so
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cuda.matmul.allow_tf32 = not deterministic
    torch.backends.cudnn.allow_tf32 = not deterministic
