"""Lets a training begin with what an earlier one made."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn.functional import pad

from src.core.errors import ModelMismatchError
from src.core.weights import check_saved

# of channels that say nothing yet: little noise, so that they are soon of use
NEW_LOGVAR = -4.0


def load_start(folder: Path, networks: Mapping[str, Any]) -> None:
    """Loads saved networks, in whatever precision, into fresh ones.

    A UNet of more latent channels than the saved one predicts as that did in those it knows and zero in the others.

    Args:
        folder: A saved model; each network is in a sub-folder of its name, as diffusers lays them.
        networks: Of diffusers or transformers, by name; changed in place.

    Raises:
        MissingModelError: A network is not there.
        ModelMismatchError: A network has other weights.
    """
    for name, network in networks.items():
        check_saved(folder, f"task.start={folder}: no {name} there; expected a model that train.py saved", name)
        saved = type(network).from_pretrained(folder / name, local_files_only=True, use_safetensors=True)
        weights = saved.float().state_dict()
        if name == "unet":
            _widen(weights, network.state_dict())
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise ModelMismatchError(
                f"task.start={folder}: its {name} is of another size: {str(error).splitlines()[0]}"
            ) from error


def load_narrower(folder: Path, vae: AutoencoderKL, same: bool) -> None:
    """Begins an autoencoder with a saved one of as many or fewer latent channels.

    The new channels say nothing yet: the decoder's weights on them are zero, so that pictures are restored as before.

    Args:
        folder: The saved one.
        vae: Of the same widths; changed in place.
        same: Whether it must have as many channels.

    Raises:
        MissingModelError: There is none.
        ModelMismatchError: It has other widths or more channels.
    """
    check_saved(folder, f"task.start: no autoencoder in {folder}; expected one that train.py saved")
    saved = AutoencoderKL.from_pretrained(folder, local_files_only=True, use_safetensors=True).float()
    old, new = int(saved.config.latent_channels), int(vae.config.latent_channels)
    if old > new or (same and old < new):
        expected = f"{new}" if same else f"at most {new}"
        raise ModelMismatchError(f"task.start={folder}: {old} latent channels, expected {expected}")
    weights = saved.state_dict()
    # means come first, then as many logarithms of variances
    moments, latents = [*range(old), *range(new, new + old)], list(range(old))
    places = {
        "encoder.conv_out.weight": (moments, None),
        "encoder.conv_out.bias": (moments, None),
        "quant_conv.weight": (moments, moments),
        "quant_conv.bias": (moments, None),
        "post_quant_conv.weight": (latents, latents),
        "post_quant_conv.bias": (latents, None),
        "decoder.conv_in.weight": (None, latents),
    }
    for name, (rows, columns) in places.items() if old < new else ():
        weights[name] = _placed(weights[name], vae.state_dict()[name], rows, columns)
    weights["quant_conv.bias"][new + old :] = NEW_LOGVAR
    try:
        vae.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelMismatchError(f"task.start={folder}: of another size: {str(error).splitlines()[0]}") from error
    vae.register_to_config(scaling_factor=saved.config.scaling_factor)


def _widen(weights: dict[str, Tensor], fresh: Mapping[str, Tensor]) -> None:
    """Gives a UNet's first and last convolution channels of zeros, as many as the fresh ones have more."""
    more = fresh["conv_in.weight"].shape[1] - weights["conv_in.weight"].shape[1]
    if more > 0:
        weights["conv_in.weight"] = pad(weights["conv_in.weight"], (0, 0, 0, 0, 0, more))
        weights["conv_out.weight"] = pad(weights["conv_out.weight"], (0, 0, 0, 0, 0, 0, 0, more))
        weights["conv_out.bias"] = pad(weights["conv_out.bias"], (0, more))


def _placed(weight: Tensor, fresh: Tensor, rows: list[int] | None, columns: list[int] | None) -> Tensor:
    """Puts a weight into a larger one: rows and columns that are not its own pass through, or are as fresh or zero."""
    if rows is None:
        result = torch.zeros_like(fresh)
        result[:, columns] = weight
        return result
    if columns is None:
        result = fresh.clone()
        result[rows] = weight
        return result
    result = torch.eye(*fresh.shape[:2]).view(fresh.shape)
    result[rows] = 0
    result[:, columns] = 0
    result[torch.tensor(rows)[:, None], torch.tensor(columns)] = weight
    return result
