"""Makes the arithmetic of a run repeatable."""

import os

# Before torch starts its libraries: cuBLAS and MKL read these once. Without MKL_CBWR, MKL may take another code path
# for another memory alignment, and the last bits differ from run to run.
ENVIRONMENT = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "MKL_CBWR": "AUTO,STRICT"}


def set_environment() -> None:
    """Sets what must be set before torch is imported; values that are set already stay."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def set_deterministic(deterministic: bool) -> None:
    """Chooses deterministic kernels and full float32 products, or speed.

    Args:
        deterministic: False allows TF32 and lets cuDNN pick the fastest algorithm.
    """
    import torch

    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cuda.matmul.allow_tf32 = not deterministic
    torch.backends.cudnn.allow_tf32 = not deterministic
