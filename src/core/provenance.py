"""Names the code and the libraries behind a result, for fingerprints and cache keys."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from src.core.closure import closure, digest, distributions
from src.core.files import sha256_bytes, sha256_file, sha256_tree
from src.core.single_file import is_single_file

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


def code_digest(*roots: str, without: Iterable[str] = ()) -> str:
    """Returns one hash over the code that modules reach, the libraries it uses and what the environment tells them.

    Args:
        *roots: Modules of this project; what they import counts too.
        without: Modules that are not entered.

    Returns:
        64 hexadecimal digits.
    """
    modules = closure(roots, without)
    settings = [f"{name}={value}" for name, value in arithmetic_settings(os.environ).items()]
    return sha256_bytes("\0".join([digest(modules), *distributions(modules), *settings]).encode())


def arithmetic_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables by which the environment changes numbers, but for those that have the project's values."""
    return {
        name: environment[name]
        for name in ARITHMETIC
        if name in environment and environment[name] != DETERMINISTIC.get(name)
    }


def model_digest(model_id: str, revision: str | None, variant: str | None, config: str | None = None) -> str:
    """Names a base model: a folder or a file by its content, a hub id by its pinned revision.

    Args:
        model_id: A folder, a hub id or a single-file checkpoint.
        revision: The pinned commit of a hub id.
        variant: Which weight files.
        config: Folder or hub id of what a single-file checkpoint lacks.

    Returns:
        A text that differs where the weights may.
    """
    if config is not None and is_single_file(model_id):
        return f"{sha256_file(Path(model_id))}:{model_digest(config, revision, None)}"
    where = sha256_tree(Path(model_id)) if Path(model_id).is_dir() else f"{model_id}@{revision}"
    return f"{where}:{variant}"
