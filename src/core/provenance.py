"""Names the code and the libraries behind a result, for fingerprints and cache keys."""

from importlib.metadata import version
from pathlib import Path

from src.core.files import sha256_bytes, sha256_tree

PACKAGES = ("torch", "diffusers", "transformers", "peft", "accelerate", "numpy")
SOURCE = Path(__file__).resolve().parents[1]


def code_digest(*names: str) -> str:
    """Returns one hash over parts of the source and the versions of the libraries that compute.

    Args:
        *names: Files and folders under src/.

    Returns:
        64 hexadecimal digits.
    """
    code = [sha256_tree(SOURCE / name, (".py",)) for name in names]
    libraries = [f"{package}=={version(package)}" for package in PACKAGES]
    return sha256_bytes("\0".join([*code, *libraries]).encode())


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
