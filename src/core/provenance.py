"""Names the code and the libraries behind a result, for fingerprints and cache keys."""

import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from src.core.files import sha256_bytes, sha256_tree

# Set before torch starts its libraries: cuBLAS and MKL read these once. Without MKL_CBWR, MKL may take another code
# path for another memory alignment, and the last bits differ from run to run.
DETERMINISTIC = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "MKL_CBWR": "AUTO,STRICT"}
# What torch, MKL, oneDNN, OpenMP and the GPU driver read and compute otherwise by: docs/performance.md, Environment.
ARITHMETIC = (
    *DETERMINISTIC,
    "ATEN_CPU_CAPABILITY",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)
PACKAGES = ("torch", "diffusers", "transformers", "peft", "accelerate", "numpy")
SOURCE = Path(__file__).resolve().parents[1]


def code_digest(*names: str) -> str:
    """Returns one hash over parts of the source, the libraries that compute and what the environment tells them.

    Args:
        *names: Files and folders under src/.

    Returns:
        64 hexadecimal digits.
    """
    code = [sha256_tree(SOURCE / name, (".py",)) for name in names]
    libraries = [f"{package}=={version(package)}" for package in PACKAGES]
    settings = [f"{name}={value}" for name, value in arithmetic_settings(os.environ).items()]
    return sha256_bytes("\0".join([*code, *libraries, *settings]).encode())


def arithmetic_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables by which the environment changes numbers, but for those that have the project's values."""
    return {
        name: environment[name]
        for name in ARITHMETIC
        if name in environment and environment[name] != DETERMINISTIC.get(name)
    }


def model_digest(model_id: str, revision: str | None, variant: str | None) -> str:
    """Names a base model: a folder by its content, a hub id by its pinned revision.

    Args:
        model_id: A folder or a hub id.
        revision: The pinned commit of a hub id.
        variant: Which weight files.

    Returns:
        A text that differs where the weights may.
    """
    where = sha256_tree(Path(model_id)) if Path(model_id).is_dir() else f"{model_id}@{revision}"
    return f"{where}:{variant}"
