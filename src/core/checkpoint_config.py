"""What a checkpoint was made with, for drawing with it alone: between configs/ and the command line."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from src.core.config import compose, load_stage_params
from src.core.quoting import literal_path, quoted
from src.core.records import read_record

CKPT_DIR = "inferencer.ckpt_dir"


def load_checkpoint_params(stage: str, words: Sequence[str]) -> DictConfig:
    """Loads a stage's parameters; base model and subject are those that the checkpoints in use were made with.

    Args:
        stage: A stage of dvc.yaml.
        words: Hydra overrides.

    Returns:
        The resolved configuration in struct mode.

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
    files = [folder / "config.yaml", *sorted(folder.glob("step-*/config.yaml"), reverse=True)]
    file = next((path for path in files if path.is_file()), None)
    if file is None:
        return []
    overrides = []
    for group, values in read_record(file).items():
        if group in given:
            continue
        if group == "model":
            overrides.append(f"model={values.pop('name')}")
        overrides += [f"{group}.{key}={_quoted(value)}" for key, value in values.items()]
    return overrides


def _quoted(value: object) -> str:
    if isinstance(value, str):
        return quoted(value)
    return "null" if value is None else str(value)
