"""Finds model weights on this machine: a local folder, or a pinned revision in the Hugging Face cache.

No stage downloads: `python -m src.commands.fetch` does, and everything else works with the network unplugged.
"""

import re
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from src.core.errors import MissingModelError, ModelMismatchError
from src.core.files import check_folder, has_file, sha256_file, write_text
from src.core.single_file import is_single_file, read_contents

TEXT_PATTERNS = ("*.json", "*.txt", "*.model")
# the parts of a diffusers folder that have weights; the safety checker is neither fetched nor loaded
COMPONENTS = ("unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3")
SHARD = re.compile(r"-(\d{5})-of-(\d{5})")


def model_patterns(variant: str | None, parts: Sequence[str] = COMPONENTS) -> tuple[str, ...]:
    """Returns what a model needs of a hub repository: texts, and one set of safetensors per part.

    The repositories also hold single-file checkpoints, ONNX, Flax, pickles and other variants, up to ten times as much.

    Args:
        variant: For example ``fp16``; None for the plain files.
        parts: The components whose weights are needed.

    Returns:
        Patterns for diffusers pipelines and for transformers models.
    """
    dot = f".{variant}" if variant else ""
    stems = ["model", *(f"{part}/{stem}" for part in parts for stem in ("model", "diffusion_pytorch_model"))]
    names = (f"{dot}.safetensors", f"{dot}-?????-of-?????.safetensors", f"-?????-of-?????{dot}.safetensors")
    return (*TEXT_PATTERNS, *dict.fromkeys(stem + name for stem in stems for name in names))


def settings_patterns(file: Path) -> tuple[str, ...]:
    """Returns what a single-file checkpoint needs of a hub repository: texts, and the weights that it has not.

    Args:
        file: The checkpoint.

    Returns:
        Patterns.

    Raises:
        MissingModelError: It is not there.
        ModelMismatchError: It is no checkpoint.
    """
    held = read_contents(file).parts
    return model_patterns(None, [part for part in COMPONENTS if part not in held])


def find_model(
    model_id: str, revision: str | None, allow_patterns: Sequence[str] = TEXT_PATTERNS, config: str | None = None
) -> Path:
    """Returns the folder that holds a model, or the settings and tokenizers of a single-file checkpoint.

    huggingface_hub returns the folder of a broken-off download as if it were whole when it does not know the
    repository's list of files, so the weights are looked at here.

    Args:
        model_id: A folder on this machine, a hub id such as ``owner/name``, or a single-file checkpoint.
        revision: The pinned commit on the hub; None for a folder.
        allow_patterns: The files that count: with texts alone, any complete set of safetensors is enough.
        config: Folder or hub id of what a single-file checkpoint lacks.

    Returns:
        An existing folder; each model in it (the root and `COMPONENTS`, where they have a config.json) has weights,
        there or in the single file.

    Raises:
        MissingModelError: It is not on this machine, or not as a whole; the message names the command that helps.
        ModelMismatchError: A file is no checkpoint.
        NotAFileError: It holds a pipe, a device or a socket.
    """
    held: Sequence[str] = ()
    if is_single_file(model_id):
        held, allow_patterns = read_contents(Path(model_id)).parts, settings_patterns(Path(model_id))
        if config is None:
            raise MissingModelError(
                f"{model_id}: a single file has neither settings nor tokenizers; set model.config to a diffusers "
                "folder or hub id that has them, or take the model= of its kind"
            )
        model_id = config
    folder = Path(model_id)
    if not folder.is_dir():
        folder = _find_in_cache(model_id, revision, allow_patterns)
    check_folder(folder)
    wanted = [pattern for pattern in allow_patterns if pattern not in TEXT_PATTERNS] or ["*.safetensors"]
    for part in ("", *COMPONENTS):
        if part not in held and (folder / part / "config.json").is_file():
            _check_weights(folder, folder / part, wanted)
    return folder


def check_saved(folder: Path, missing: str, part: str = "") -> None:
    """Checks that a saved network can be loaded: that it is there, and that no file of the folder hangs who reads it.

    Args:
        folder: What will be read; perhaps from somebody else.
        missing: The error's message where it is not there.
        part: The network's folder in it, or nothing where it is that folder.

    Raises:
        MissingModelError: It has no config.json.
        NotAFileError: The folder holds a pipe, a device or a socket.
    """
    check_folder(folder)
    if not (folder / part / "config.json").is_file():
        raise MissingModelError(missing)


def _find_in_cache(model_id: str, revision: str | None, allow_patterns: Sequence[str]) -> Path:
    if revision is None:
        raise MissingModelError(f"model {model_id!r}: no such folder; a hub id needs a pinned revision")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    patterns = list(allow_patterns)
    try:
        return Path(snapshot_download(model_id, revision=revision, allow_patterns=patterns, local_files_only=True))
    except HFValidationError as error:
        raise MissingModelError(f"model {model_id!r}: neither a folder nor a hub id (owner/name)") from error
    except LocalEntryNotFoundError as error:
        raise MissingModelError(
            f"model {model_id!r} at revision {revision} is not on this machine. "
            "With a network run `python -m src.commands.fetch` with the same overrides (for example model=sdxl), "
            "or point the id at a folder"
        ) from error


def _check_weights(folder: Path, part: Path, wanted: Sequence[str]) -> None:
    files = sorted(path for path in part.iterdir() if path.is_file())  # a link to a missing blob is none
    matching = [path for path in files if any(fnmatch(path.relative_to(folder).as_posix(), p) for p in wanted)]
    if any(_has_all_shards(path, matching) for path in matching):
        return
    expected = [pattern for pattern in wanted if Path(pattern).parent == part.relative_to(folder)] or wanted
    weights = [path.name for path in files if path.suffix in (".safetensors", ".bin", ".pth")]
    raise MissingModelError(
        f"{part}: expected complete weights ({' or '.join(expected)}), found {', '.join(weights) or 'none'}. "
        "Run `python -m src.commands.fetch` with the same overrides, or choose model.variant to fit the files"
    )


def _has_all_shards(path: Path, present: Sequence[Path]) -> bool:
    match = SHARD.search(path.name)
    if not match:
        return True
    names = {other.name for other in present}
    numbers = range(1, int(match[2]) + 1)
    return all(path.name.replace(match[0], f"-{number:05d}-of-{match[2]}") in names for number in numbers)


def find_weight_file(model_id: str, revision: str | None, file: str, sha256: str | None) -> Path:
    """Returns one weight file after checking its content.

    Args:
        model_id: A folder on this machine or a hub id.
        revision: The pinned commit on the hub; None for a folder.
        file: The file's name inside the model.
        sha256: The expected content hash; None skips the check (a folder the project itself made).

    Returns:
        An existing file.

    Raises:
        MissingModelError: The model or the file is not on this machine.
        ModelMismatchError: The content has another hash.
    """
    path = find_model(model_id, revision, (file,)) / file
    if not has_file(path):
        raise MissingModelError(f"{path}: no such weight file")
    if sha256 is not None and (found := sha256_file(path)) != sha256:
        raise ModelMismatchError(f"{path}: sha256 is {found}, expected {sha256}")
    return path


def write_sums(folder: Path, sums: Path) -> None:
    """Writes the SHA-256 of every file of a folder, a line each, as `sha256sum` does.

    Args:
        folder: Relative to where the file will be read.
        sums: The file to write.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    write_text(sums, "".join(f"{sha256_file(path)}  {path.as_posix()}\n" for path in files))


def check_sums(sums: Path, remedy: str) -> None:
    """Compares files with what `write_sums` wrote.

    Args:
        sums: The file with a line for each.
        remedy: What brings them back, for the message.

    Raises:
        ModelMismatchError: A file is missing or has other bytes; all of them are named.
    """
    lines = [line.split("  ", 1) for line in sums.read_text(encoding="utf-8").splitlines()]
    wrong = [name for digest, name in lines if not Path(name).is_file() or sha256_file(Path(name)) != digest]
    if wrong:
        raise ModelMismatchError(f"missing, or not the bytes that {sums} names: {', '.join(wrong)}; {remedy}")
