"""The configuration of a training from noise: configs/pretraining.yaml < exp.config_path < the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.core.choices import check_choice, parse_overrides
from src.core.config import apply_override, to_dict
from src.core.config_errors import load_yaml
from src.core.digest import CONFIGS
from src.core.errors import ConfigError
from src.core.files import has_file
from src.core.interpolations import resolved
from src.core.nested import flatten
from src.core.pretraining_settings import PretrainSettings
from src.core.quoting import literal_path, quote_words, text_keys
from src.core.typed import lay_over, typed

ROOT_FILE = CONFIGS / "pretraining.yaml"
TRACKER = "tracker"


def trains_from_noise(words: Sequence[str]) -> bool:
    """Says whether a command line names a file that trains from noise: one with a ``task``."""
    path = _file_of(words)
    return path is not None and has_file(path) and "task" in load_yaml(path)


def shown_pretraining_config(words: Sequence[str]) -> PretrainSettings | DictConfig:
    """Returns what `--help` shows: every key of what these words would train, else those that all tasks share."""
    return load_yaml(ROOT_FILE) if _file_of(words) is None else load_pretraining_config("pretraining", words)


def load_pretraining_config(_stage: str, words: Sequence[str]) -> PretrainSettings:
    """Loads what the command line asks for, resolved, checked for unknown keys and wrong types.

    Args:
        _stage: The name that messages begin with; no stage of dvc.yaml.
        words: Overrides; among them ``exp.config_path=FILE``.

    Returns:
        Plain typed values; `train.checkpoint_path` has become the task's `start`.

    Raises:
        ConfigError: A key is unknown, a value has the wrong type, a `_target_` is not allowed, or the file is missing.
    """
    path = _file_of(words)
    if path is None:
        files = ", ".join(file.name for file in sorted((CONFIGS / "scratch").glob("*.yaml")))
        raise ConfigError(f"exp.config_path=FILE says what to train; in configs/scratch there are {files}")
    if not has_file(path):
        raise ConfigError(f"exp.config_path: no such file: {path}")
    values, file = to_dict(load_yaml(ROOT_FILE)), to_dict(load_yaml(path))
    words = _choose_trackers(values, file, words)
    root = typed(PretrainSettings, values)
    for key, value in file.items():
        # another class brings its own arguments
        if key in root and isinstance(value, dict) and "_target_" in value:
            root[key] = {}
    merged = flatten(to_dict(root)) | flatten(file)
    texts, lists = text_keys(merged), {key for key, value in merged.items() if value is None}
    overrides = parse_overrides(quote_words(words, texts, lists))
    lay_over(root, file, f"{path}: ")
    OmegaConf.set_struct(root, True)
    for override in overrides:
        apply_override(root, override)
    _start_from_checkpoint(root)
    _keep_folders_apart(root)
    settings = OmegaConf.to_object(resolved(root, PretrainSettings))
    assert isinstance(settings, PretrainSettings), "resolved with this type"
    for key in ("task", "train_data", "val_data"):
        if "_target_" not in getattr(settings, key):
            raise ConfigError(f"{path}: {key}: expected a mapping with a _target_")
    del settings.train.checkpoint_path
    return settings


def _choose_trackers(values: dict[str, Any], file: dict[str, Any], words: Sequence[str]) -> list[str]:
    """Puts in place of the trackers' names what their files say; returns the other words."""
    chosen = file.pop(TRACKER, values[TRACKER])
    for override in parse_overrides([word for word in words if word.startswith(f"{TRACKER}=")]):
        chosen = override.value()
    if not isinstance(chosen, dict):
        check_choice(TRACKER, chosen)
        files = [
            load_yaml(CONFIGS / TRACKER / f"{name}.yaml") for name in ([chosen] if isinstance(chosen, str) else chosen)
        ]
        chosen = {name: service for file in files for name, service in to_dict(file).items()}
    values[TRACKER] = chosen
    return [word for word in words if not word.startswith(f"{TRACKER}=")]


def _file_of(words: Sequence[str]) -> Path | None:
    values = [literal_path(word) for word in words if word.startswith("exp.config_path=")]
    return Path(values[-1]) if values else None


def _start_from_checkpoint(config: DictConfig) -> None:
    """Makes of train.checkpoint_path, the assignment's word, what tasks call `start`."""
    path = config.train.checkpoint_path
    if path is None:
        return
    if "start" not in config.task:
        raise ConfigError(
            f"train.checkpoint_path={path}: {config.task._target_} cannot start from a saved model; the same "
            "command again resumes an interrupted training by itself"
        )
    folder = Path(path) / "model"
    config.task.start = str(folder if folder.is_dir() else path)


def _keep_folders_apart(config: DictConfig) -> None:
    """Takes all of either folder where train_data and val_data name two: nothing has to be held out then."""
    train, val = config.train_data, config.val_data
    if all("folder" in side and "val_fraction" in side for side in (train, val)) and train.folder != val.folder:
        train.val_fraction, val.val_fraction = 0.0, 1.0
