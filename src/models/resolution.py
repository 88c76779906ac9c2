"""Which sides of pictures a base model can take, read from its own files before anything is loaded."""

import json
from pathlib import Path

from src.core.errors import ConfigError, ModelMismatchError


def check_resolution(model: Path, resolution: int) -> None:
    """Refuses sides that cannot be halved as often as autoencoder and UNet halve them.

    Args:
        model: The base model's folder.
        resolution: Side, pixels.

    Raises:
        ConfigError: It is no multiple of what the two need.
        ModelMismatchError: A config.json is missing or is none.
    """
    vae, unet = _factor(model / "vae/config.json"), _factor(model / "unet/config.json")
    step = vae * unet
    if resolution < step or resolution % step:
        below = max(resolution // step, 1) * step
        raise ConfigError(
            f"model.resolution={resolution}: expected a multiple of {step}, for example {below} or {below + step}: the "
            f"autoencoder of {model} divides by {vae}, its UNet by {unet}"
        )


def _factor(config: Path) -> int:
    """Each level but the last halves the sides (diffusers' AutoencoderKL and UNet2DConditionModel)."""
    try:
        levels = len(json.loads(config.read_text(encoding="utf-8"))["block_out_channels"])
    except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
        raise ModelMismatchError(f"{config}: expected JSON with block_out_channels") from error
    return 2 ** (levels - 1)
