"""Copies saved models in half precision, as they are handed out."""

import shutil
from pathlib import Path

import torch

from src.models.tensors import load_tensors, save_tensors


def copy_in_half(model: Path, target: Path) -> None:
    """Copies a saved model, its float32 weights in fp16.

    Args:
        model: A folder.
        target: Where to; made where it is missing.
    """
    for file in sorted(path for path in model.rglob("*") if path.is_file()):
        copy = target / file.relative_to(model)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".safetensors":
            tensors, metadata = load_tensors(file)
            halves = {key: value.half() if value.dtype == torch.float32 else value for key, value in tensors.items()}
            save_tensors(copy, halves, metadata)
        else:
            shutil.copyfile(file, copy)
