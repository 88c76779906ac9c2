"""The configuration of a training from noise: configs/pretraining.yaml < exp.config_path < the command line."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from src.core.choices import parse_overrides
from src.core.config import apply_override, to_dict
from src.core.config_errors import describe_key, load_yaml
from src.core.digest import CONFIGS
from src.core.errors import ConfigError
from src.core.files import has_file
from src.core.interpolations import resolved
from src.core.nested import flatten
from src.core.quoting import literal_path, quote_words, text_keys
from src.core.targets import check_targets
from src.core.values import number_errors, type_errors

ROOT_FILE = CONFIGS / "pretraining.yaml"


def trains_from_noise(words: Sequence[str]) -> bool:
    """Says whether a command line names a file that trains from noise: one with a ``task``."""
    path = _file_of(words)
    return path is not None and has_file(path) and "task" in load_yaml(path)


def load_pretraining_config(_stage: str, words: Sequence[str]) -> DictConfig:
    """Loads what the command line asks for, resolved, checked for unknown keys and wrong types.

    Args:
        _stage: The name that messages begin with; no stage of dvc.yaml.
        words: Overrides; among them ``exp.config_path=FILE``.

    Returns:
        The configuration in struct mode.

    Raises:
        ConfigError: A key is unknown, a value has the wrong type, a `_target_` is not allowed, or the file is missing.
    """
    path = _file_of(words)
    if path is None or not has_file(path):
        raise ConfigError(f"exp.config_path: no such file: {path}")
    root, file = load_yaml(ROOT_FILE), load_yaml(path)
    defaults = to_dict(root)
    for key in map(str, file):
        # another class brings its own arguments
        if key in root and OmegaConf.is_dict(file[key]) and "_target_" in file[key]:
            root[key] = None
    merged = flatten(to_dict(root)) | flatten(to_dict(file))
    texts, lists = text_keys(merged), {key for key, value in merged.items() if value is None}
    words = quote_words(words, texts, lists)
    overrides = parse_overrides(words)
    OmegaConf.set_struct(root, True)
    try:
        config = OmegaConf.merge(root, file)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{path}: {describe_key(error)}") from error
    assert isinstance(config, DictConfig), "two mappings give a mapping"
    OmegaConf.set_struct(config, True)
    for override in overrides:
        apply_override(config, override)
    _start_from_checkpoint(config)
    _keep_folders_apart(config)
    config = resolved(config)
    for key in ("task", "train_data", "val_data"):
        if not OmegaConf.is_dict(config[key]) or "_target_" not in config[key]:
            raise ConfigError(f"{path}: {key}: expected a mapping with a _target_")
    check_targets(to_dict(config))
    wrong = type_errors(defaults, to_dict(config), "")
    if wrong:
        raise ConfigError("wrong type: " + "; ".join(wrong))
    if wrong := number_errors(to_dict(config)):
        raise ConfigError("; ".join(wrong))
    return config


def _file_of(words: Sequence[str]) -> Path | None:
    values = [literal_path(word) for word in words if word.startswith("exp.config_path=")]
    return Path(values[-1]) if values else None


def _start_from_checkpoint(config: DictConfig) -> None:
    """Makes of train.checkpoint_path, the assignment's word, what tasks call `start`."""
    with open_dict(config):
        path = config.train.pop("checkpoint_path")
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
