"""What a checkpoint was made with, for generating with it alone: between configs/ and the command line."""

import sys
from collections.abc import Sequence
from pathlib import Path

from src.core import layout
from src.core.config import compose, load_stage_params
from src.core.errors import ConfigError
from src.core.files import has_file, sha256_tree
from src.core.quoting import literal_path, quoted
from src.core.records import read_record
from src.core.settings import Settings

CKPT_DIR = "inferencer.ckpt_dir"


def load_checkpoint_params(stage: str, words: Sequence[str]) -> Settings:
    """Loads a stage's parameters; base model and subject are those that the checkpoints in use were made with.

    Args:
        stage: A stage of dvc.yaml.
        words: Hydra overrides.

    Returns:
        Plain typed values; reading an undeclared key raises.

    Raises:
        ConfigError: An override or the checkpoint's config.yaml is wrong.
    """
    return load_stage_params(stage, [*recorded_overrides(words), *words])


def recorded_overrides(words: Sequence[str]) -> list[str]:
    """Reads the config.yaml that train wrote beside a checkpoint, which somebody else may have sent.

    Args:
        words: Hydra overrides. A model or subject among them is not overridden; exp.config_path says all by itself.

    Returns:
        Overrides that choose the recorded model and subject; none where nothing is recorded.

    Raises:
        ConfigError: The file is not what train writes.
    """
    given = {word.split("=", 1)[0]: literal_path(word) for word in words if "=" in word}
    if "exp.config_path" in given:
        return []
    folder = Path(given[CKPT_DIR] if CKPT_DIR in given else compose().inferencer.ckpt_dir)
    files = [
        folder / layout.ADAPTER_CONFIG,
        *sorted(folder.glob(f"{layout.CHECKPOINTS}/{layout.ADAPTER_CONFIG}"), reverse=True),
    ]
    file = next((path for path in files if has_file(path)), None)
    if file is None:
        return []
    overrides = []
    for group, values in read_record(file).items():
        if group in given:
            continue
        if group == "model":
            overrides.append(f"model={values.pop('name')}")
            if digest := values.pop("sha256", None):
                values["id"] = _own_folder(file, str(values["id"]), str(digest), given.get("model.id"))
        overrides += [f"{group}.{key}={_quoted(value)}" for key, value in values.items()]
    return overrides


def _own_folder(file: Path, name: str, digest: str, given: str | None) -> str:
    """Finds the base model of a checkpoint that tells its folder's name and content, but not its place.

    Args:
        file: The record.
        name: The folder's name.
        digest: SHA-256 of its content.
        given: model.id of the command line, or None for what configs/ say.

    Returns:
        The folder, or the single file; a line says where the content of a given one differs.

    Raises:
        ConfigError: What configs/ say is no such folder, or one with other content.
    """
    folder = Path(compose().model.id if given is None else given).expanduser()
    if given is None and folder.name != name:
        raise ConfigError(f"{file}: trained on {name!r}; say where it is: model.id=PATH/{name}")
    if folder.exists() and sha256_tree(folder) != digest:
        problem = f"model.id={folder}: not the content that {file} was trained on (SHA-256 {digest[:12]}...)"
        if given is None:
            raise ConfigError(problem)
        print(problem, file=sys.stderr)
    return str(folder)


def _quoted(value: object) -> str:
    if isinstance(value, str):
        return quoted(value)
    return "null" if value is None else str(value)
