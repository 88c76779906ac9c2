"""Holds a memory preset to what was counted for it: a card that is too small is refused before hours of work."""

from collections.abc import Callable

from src.core.errors import ConfigError
from src.core.settings import PresetSettings, Settings
from src.methods.base import Method

# of a card; the rest is the driver's, the libraries' and lost between the pieces
SHARE = 0.85
TRAIN = (
    "batch_size",
    "gradient_accumulation_steps",
    "gradient_checkpointing",
    "mixed_precision",
    "base_dtype",
    "quantize",
)


def check_training(params: Settings, method: Method) -> None:
    """Refuses a training that the chosen preset was not counted for.

    Args:
        params: The stage's parameters.
        method: What trains.

    Raises:
        ConfigError: It takes more than the card has, a value is another than the preset's, or the method trains the
            base itself.
    """
    if (preset := _chosen(params)) is None:
        return
    for key in TRAIN:
        _compare(params, f"train.{key}", key, getattr(params.train, key))
    if method.needs_fp32:
        raise ConfigError(f"{_name(params)} is counted for adapters, this method trains the base: expected memory=none")
    _fit(params, "training", lambda entry: entry.train_gib, preset)


def check_generating(params: Settings) -> None:
    """Refuses, before anything is trained, images that the chosen preset's card cannot generate.

    Args:
        params: The stage's parameters.

    Raises:
        ConfigError: It takes more than the card has, or a value is another than the preset's.
    """
    if (preset := _chosen(params)) is None:
        return
    _compare(params, "validation_args.batch_size", "images_at_once", params.validation_args.batch_size)
    _compare(params, "validation_args.dtype", "dtype", params.validation_args.dtype)
    _fit(params, "generating with the base as it is", lambda entry: entry.generate_gib, preset)


def _chosen(params: Settings) -> PresetSettings | None:
    return None if params.memory.card_gb is None else params.memory.presets[f"gb{params.memory.card_gb}"]


def _name(params: Settings) -> str:
    return f"memory=gb{params.memory.card_gb} of model={params.model.name}"


def _compare(params: Settings, name: str, key: str, value: object) -> None:
    wanted = getattr(_chosen(params), key)
    if value != wanted:
        others = [other for other, entry in params.memory.presets.items() if getattr(entry, key) == value]
        raise ConfigError(
            f"{_name(params)} is counted with {name}={wanted}, not {value}: expected memory="
            + " or memory=".join([*others, "none"])
        )


def _fit(params: Settings, what: str, gib: Callable[[PresetSettings], float], preset: PresetSettings) -> None:
    """Compares with the card; names the presets whose cards are large enough."""
    card = params.memory.card_gb or 0
    if gib(preset) <= SHARE * card:
        return
    large = [
        name for name, entry in params.memory.presets.items() if gib(entry) <= SHARE * int(name.removeprefix("gb"))
    ]
    raise ConfigError(
        f"{_name(params)}: {what} takes {gib(preset):z.1f} GiB, more than the {SHARE:.0%} of the card that are "
        "counted on; expected "
        + " or ".join(f"memory={name}" for name in large)
        + " (docs/training.md, Memory presets)"
    )
