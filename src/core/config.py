"""Composes the configuration: configs/ < the file named by exp.config_path < the command line. Only this knows Hydra.

A stage gets no more than dvc.yaml declares for it, so that an undeclared dependency is a crash, not a stale result.
"""

import os
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from src.core import layout
from src.core.choices import check_overrides, chosen_in, groups, parse_overrides
from src.core.composition import compose_once
from src.core.config_errors import describe_composition, describe_key, load_yaml
from src.core.digest import CONFIGS, configs_digest, options, register
from src.core.errors import ConfigError
from src.core.files import has_file
from src.core.interpolations import keep_interpolations, resolve, resolved
from src.core.nested import flatten, read_through
from src.core.quoting import literal_path, quote_words, text_keys
from src.core.settings import Settings
from src.core.typed import keep_only, lay_over

DVC_FILE = CONFIGS.parent / "dvc.yaml"
# Read by stages without being declared: they change where results go or what is watched, never what results are.
OBSERVERS = ("exp", "tracker")
TRAIN_OBSERVERS = ("validation_args", "sampler", "memory")
# inference.py draws a person's own prompts with these; it is no stage of dvc.yaml
INFERENCE = "inference"
DRAWING = ("num_images_per_prompt", "num_inference_steps", "guidance_scale", "negative_prompt", "batch_size", "dtype")
OWN_PROMPTS: tuple[str, ...] = (
    "subject",
    "model",
    "device",
    "sampler",
    "inferencer",
    "prompt",
    "prompt_file",
    "seeds",
    "width",
)
OWN_PROMPTS += ("height", "init_image", "strength", *(f"validation_args.{name}" for name in (*DRAWING, "seed")))

register()


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """Composes configs/ with Hydra overrides; interpolations stay.

    Args:
        overrides: For example ``["model=sdxl", "lr=1e-4"]``.

    Returns:
        The configuration in struct mode.

    Raises:
        ConfigError: An override names an unknown key or choice, or cannot be parsed.
    """
    check_overrides(parse_overrides(overrides))
    try:
        return compose_once(overrides)
    except HydraException as error:
        raise ConfigError(describe_composition(error)) from error


def composed_values(overrides: Sequence[str] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """Composes as `compose` does, but once, to plain values that nobody may change: as written, and resolved."""
    return _values(tuple(overrides), configs_digest())


@cache
def _values(overrides: tuple[str, ...], _digest: str) -> tuple[dict[str, Any], dict[str, Any]]:
    config = compose(overrides)
    written = to_dict(config)
    resolve(config)
    return written, to_dict(config)


def load_config(overrides: Sequence[str]) -> DictConfig:
    """Loads what the command line asks for: configs/ < the file < the command line, each value of its key's type.

    Args:
        overrides: Hydra overrides, among them perhaps ``exp.config_path=FILE``.

    Returns:
        The resolved configuration in struct mode.

    Raises:
        ConfigError: A key is unknown, a value has the wrong type, a `_target_` is not allowed, or the file is missing.
    """
    path, parsed = _config_path(overrides), parse_overrides(quote_overrides(overrides))
    check_overrides(parsed)
    choices = [override for override in parsed if override.key_or_group in groups()]
    config = compose(_words(choices)) if path is None else _lay_over_file(path, choices)
    for override in parsed:
        if override not in choices:
            apply_override(config, override)
    return resolved(config, Settings)


def quote_overrides(words: Sequence[str]) -> list[str]:
    """Quotes the texts, names and paths among overrides: the keys whose default is text or null.

    Args:
        words: Hydra overrides as a person types them.

    Returns:
        Overrides in which those values are taken literally.
    """
    path = _config_path(words)
    of_file = flatten(to_dict(load_yaml(path))) if path is not None and has_file(path) else {}
    defaults = of_file | flatten(composed_values(_choices(words))[1])
    return quote_words(words, text_keys(defaults), {key for key, value in defaults.items() if value is None})


def _choices(words: Sequence[str]) -> list[str]:
    """Lists the groups that a command line chooses: in its file, unless that is a dump, and among its words."""
    path = _config_path(words)
    file = load_yaml(path) if path is not None and has_file(path) else None
    of_file = [] if path is None or file is None or "configs_digest" in file else _own_choices(path, file)
    return [*of_file, *(word for word in words if word.partition("=")[0] in groups())]


def _config_path(words: Sequence[str]) -> Path | None:
    values = [literal_path(word) for word in words if word.startswith("exp.config_path=")]
    return Path(values[-1]) if values and values[-1] != "null" else None


def load_stage_params(stage: str, overrides: Sequence[str]) -> Settings:
    """Loads the parameters that dvc.yaml declares for a stage, and those that cannot change its results.

    Args:
        stage: A stage of dvc.yaml.
        overrides: Hydra overrides.

    Returns:
        Plain typed values; reading an undeclared key raises.

    Raises:
        ConfigError: See `load_config` and `refuse_sub_folder`, or the stage reads nothing of what an override sets.
    """
    refuse_sub_folder(Path.cwd())
    settings = load_settings(overrides)
    observers = OBSERVERS + (TRAIN_OBSERVERS if stage == "train" else ())
    declared = declared_params(stage)
    if unread := unread_keys(stage, overrides):
        raise ConfigError(
            f"{unread[0]}: nothing that {stage} reads, so it could not act; expected one of "
            f"{', '.join(dict.fromkeys([*declared, *observers]))} (--help lists all)"
        )
    keep_only(settings, {*declared, *observers})
    return settings


def unread_keys(stage: str, overrides: Sequence[str]) -> list[str]:
    """Lists what overrides set and a stage does not read, neither itself nor through another key that takes it over.

    Args:
        stage: As of `load_stage_params`.
        overrides: Hydra overrides of known keys.

    Returns:
        Keys and groups, in their order.
    """
    parsed = parse_overrides(quote_overrides(overrides))
    choices = _choices(overrides)
    written = flatten(composed_values(choices)[0])
    passing = {"exp.config_path", "exp.run_dir", "tracker", *(["exp.from_image"] if stage == INFERENCE else [])}
    read = read_through({*declared_params(stage), *passing, *(TRAIN_OBSERVERS if stage == "train" else ())}, written)

    def acts(key: str) -> bool:
        return any(f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.") for other in read)

    def changed(choice: str) -> list[str]:
        without = flatten(composed_values([word for word in choices if word != choice])[0])
        return [key for key, value in written.items() if key not in without or without[key] != value]

    return [
        key
        for key, word in ((override.key_or_group, str(override.input_line)) for override in parsed)
        if not acts(key) and not (key in groups() and any(map(acts, changed(word))))
    ]


def load_settings(overrides: Sequence[str]) -> Settings:
    """Loads what the command line asks for as plain typed values; see `load_config`."""
    settings = OmegaConf.to_object(load_config(overrides))
    assert isinstance(settings, Settings), "loaded with this type"
    return settings


def refuse_sub_folder(here: Path) -> None:
    """Refuses to run a stage inside of the project but not in its root or a subject's, where no path would fit.

    Args:
        here: The working directory.

    Raises:
        ConfigError: It is a sub-folder.
    """
    root = CONFIGS.parent
    is_subject = here.resolve().parent == root / layout.SUBJECTS
    if root in here.resolve().parents and not is_subject and not (here / ".dvc").is_dir():
        raise ConfigError(f"{here} is a sub-folder of the project: `cd {os.path.relpath(root, here)}` and run it there")


def declared_params(stage: str) -> list[str]:
    """Lists the keys of params.yaml that dvc.yaml declares for a stage, or those of inference.py for own prompts."""
    if stage == INFERENCE:
        return list(OWN_PROMPTS)
    declared = yaml.safe_load(DVC_FILE.read_text())["stages"][stage].get("params", [])
    return [key for key in declared if isinstance(key, str)]


def to_dict(config: DictConfig) -> dict[str, Any]:
    """Returns a mapping of plain values; interpolations stay text."""
    content = OmegaConf.to_container(config)
    assert isinstance(content, dict), "a DictConfig holds a mapping"
    return {str(key): value for key, value in content.items()}


def _words(overrides: Iterable[Override]) -> list[str]:
    return [str(override.input_line) for override in overrides]


def _lay_over_file(path: Path, choices: list[Override]) -> DictConfig:
    if not has_file(path):
        raise ConfigError(f"exp.config_path: no such file: {path}")
    file = load_yaml(path)
    return (_overlay_dump if "configs_digest" in file else _overlay_partial)(path, file, choices)


def _overlay_partial(path: Path, file: DictConfig, choices: list[Override]) -> DictConfig:
    own = chosen_in(to_dict(file), str(path))
    below = compose([*_own_choices(path, file), *_words(choices)])
    lay_over(below, {name: value for name, value in to_dict(file).items() if name not in own}, f"{path}: ")
    return below


def _own_choices(path: Path, file: DictConfig) -> list[str]:
    return [f"{group}={choice}" for group, choice in chosen_in(to_dict(file), str(path)).items()]


def _overlay_dump(path: Path, dump: DictConfig, choices: list[Override]) -> DictConfig:
    result = keep_interpolations(compose(), dump, f"{path}: ")
    chosen = compose(_words(choices))
    for key in sorted({key for choice in choices for key in _decided_by(choice.key_or_group)}):
        parent, _, leaf = key.rpartition(".")
        source = OmegaConf.select(chosen, parent) if parent else chosen
        OmegaConf.update(result, key, source._get_node(leaf), merge=False, force_add=True)
    return result


def _decided_by(group: str) -> set[str]:
    """Lists the keys that a group's choices set: whole groups, and single keys elsewhere."""
    default = flatten(composed_values()[0])
    composed = [flatten(composed_values([f"{group}={name}"])[0]) for name in options(group)]
    keys = {key for option in composed for key in option if key not in default or option[key] != default[key]}
    return {group} | {key.split(".")[0] if key.split(".")[0] in groups() else key for key in keys}


def apply_override(config: DictConfig, override: Override) -> None:
    """Sets, adds or takes out one key.

    Args:
        config: In struct mode.
        override: From the command line.

    Raises:
        ConfigError: There is no such key, it takes no such value, or several values are given.
    """
    key = override.key_or_group
    try:
        if override.is_sweep_override():
            raise ConfigError(f"override {override.input_line!r}: several values need --multirun")
        if override.is_delete():
            parent, _, leaf = key.rpartition(".")
            section = OmegaConf.select(config, parent) if parent else config
            with open_dict(section):
                del section[leaf]
        else:
            OmegaConf.update(config, key, override.value(), force_add=override.is_add())
    except OmegaConfBaseException as error:
        raise ConfigError(f"override {override.input_line!r}: {describe_key(error)}") from error
