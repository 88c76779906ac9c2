"""Vectors of a new word as other tools keep them: AUTOMATIC1111's web UI, ComfyUI, diffusers, kohya's scripts."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from src.core.errors import ModelMismatchError
from src.methods.foreign.layers import checked
from src.methods.textual_inversion import MAX_TOKEN_CHARACTERS, SEVERAL, WEIGHTS
from src.models.tensors import save_tensors

# what the one of the web UI, of which the file's name is the word, calls its tensor
UNNAMED = "emb_params"
# LoRA files of OneTrainer bring words along
BUNDLED = "bundle_emb."


def is_embedding(tensors: Mapping[str, Tensor]) -> bool:
    """Says whether a file holds vectors of a word, and nothing else."""
    if set(tensors) & {UNNAMED, *SEVERAL}:
        return True
    [(name, tensor)] = tensors.items() if len(tensors) == 1 else [("", None)]
    return tensor is not None and 1 <= tensor.ndim <= 2 and 0 < len(name) <= MAX_TOKEN_CHARACTERS and "." not in name


def save_embedding(folder: Path, word: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes the vectors as a checkpoint.

    Args:
        folder: Where to; made when missing.
        word: What the file's name says; a word that the file names comes first.
        tensors: Of a file that `is_embedding`.
        metadata: Of its header.

    Raises:
        ModelMismatchError: There are others beside them, or they are no finite numbers.
    """
    if extra := sorted(set(tensors) - {*SEVERAL}) if set(tensors) & {*SEVERAL} else sorted(tensors)[1:]:
        raise ModelMismatchError(f"{extra[0][:200]!r} is none of the vectors of a word")
    if odd := sorted(name for name, tensor in tensors.items() if tensor.ndim not in (1, 2) or not tensor.numel()):
        raise ModelMismatchError(f"{odd[0][:200]!r} holds no vectors of a word")
    rows = {name: checked(name, tensor).reshape(-1, tensor.shape[-1]) for name, tensor in tensors.items()}
    token = metadata.get("token", word)
    if not set(rows) <= {*SEVERAL}:
        [(name, vectors)] = rows.items()
        token = token if name == UNNAMED else name
        rows = {token: vectors}
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / WEIGHTS, rows, {"token": token})


def take_bundled(tensors: dict[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
    """Takes the word that a LoRA file brings along out of its tensors.

    Args:
        tensors: Of the file; it loses those of the word.

    Returns:
        The word and its vectors; an empty word for none.

    Raises:
        ModelMismatchError: It brings several.
    """
    word, found = "", {}
    for name in sorted(name for name in tensors if name.startswith(BUNDLED)):
        owner, _, part = name.removeprefix(BUNDLED).rpartition(".")
        if word not in ("", owner):
            raise ModelMismatchError(f"{name[:200]!r}: a second word beside {word[:80]!r}; one can be read")
        word, found[UNNAMED if part == "*" else part] = owner.removesuffix(".string_to_param"), tensors.pop(name)
    return word, found
