"""What a file of an adapter says of itself, in the words by which other tools sort, name and prompt it.

Keys that begin with ss_ are those of kohya's scripts, which AUTOMATIC1111's web UI decides by; modelspec.* are those of
Stability AI's model metadata specification, version 1.0.1. No date: the same adapter gives the same bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.core.errors import ModelMismatchError
from src.methods.sdxl_names import LAYERS_PER_BLOCK
from src.models.families import read_family
from src.models.flux import Flux
from src.models.pipelines import read_setting
from src.models.sd import StableDiffusion
from src.models.sd3 import StableDiffusion3
from src.models.sdxl import StableDiffusionXL


@dataclass(frozen=True)
class BaseKind:
    """How tools call a kind of base model.

    Attributes:
        version: ``ss_base_model_version``.
        architecture: ``modelspec.architecture``.
        short: ``sd version`` of AUTOMATIC1111's web UI.
    """

    version: str
    architecture: str
    short: str


@dataclass(frozen=True)
class Subject:
    """What a person writes to get the subject.

    Attributes:
        token: The rare token.
        class_name: The class noun.
        resolution: Side of the images that it was trained on, pixels.
        photos: How many it was trained on; 0 where that is not known.
    """

    token: str
    class_name: str
    resolution: int
    photos: int

    @property
    def trigger(self) -> str:
        """The words of a prompt."""
        return f"{self.token} {self.class_name}"


SD1 = BaseKind("sd_v1", "stable-diffusion-v1", "SD1")
SD2 = BaseKind("sd_v2", "stable-diffusion-v2-512", "SD2")
SD2_VELOCITY = BaseKind("sd_v2_v", "stable-diffusion-v2-768-v", "SD2")
SDXL = BaseKind("sdxl_base_v1-0", "stable-diffusion-xl-v1-base", "SDXL")
SD3 = BaseKind("sd3", "stable-diffusion-3", "Unknown")
FLUX = BaseKind("flux1", "flux-1-dev", "Unknown")
FLUX_SCHNELL = BaseKind("flux1", "flux-1-schnell", "Unknown")
# what has a transformer in place of a UNet
TRANSFORMERS = (SD3, FLUX, FLUX_SCHNELL)
OTHERS = {StableDiffusionXL: SDXL, StableDiffusion3: SD3}
# of the text features that Stable Diffusion 2.x reads; 1.x has 768
SD2_WIDTH = 1024


def base_kind(folder: Path) -> BaseKind:
    """Tells the kind of a base model by its files.

    Args:
        folder: A diffusers folder.

    Returns:
        The kind.

    Raises:
        ModelMismatchError: It is of an architecture that is not supported, or its files cannot be read.
    """
    family = read_family(folder)
    if family is Flux:
        guided = read_setting(folder / "transformer/config.json", "guidance_embeds", bool)
        return FLUX if guided else FLUX_SCHNELL
    if family is not StableDiffusion:
        return OTHERS[family]
    if read_setting(folder / "unet/config.json", "cross_attention_dim", int) != SD2_WIDTH:
        return SD1
    predicts = read_setting(folder / "scheduler/scheduler_config.json", "prediction_type", str)
    return SD2_VELOCITY if predicts == "v_prediction" else SD2


def check_names(folder: Path) -> None:
    """Refuses an SDXL whose blocks are not those that files of other tools count.

    Args:
        folder: A diffusers folder.

    Raises:
        ModelMismatchError: It is another.
    """
    layers = read_setting(folder / "unet/config.json", "layers_per_block", int)
    if layers != LAYERS_PER_BLOCK:
        raise ModelMismatchError(
            f"{folder}: {layers} layers in each block, where SDXL has {LAYERS_PER_BLOCK}; tools have no names for "
            "them: try --layout diffusers"
        )


def tool_header(kind: BaseKind, subject: Subject, title: str, module: str, sizes: Mapping[str, str]) -> dict[str, str]:
    """Makes the header's metadata for other tools.

    Args:
        kind: Of the base model.
        subject: What it learned.
        title: The file's name without its ending.
        module: ``ss_network_module``: the code of kohya's scripts that reads such a file.
        sizes: ``ss_network_dim`` and ``ss_network_alpha``, where all layers share them.

    Returns:
        Texts by key.
    """
    side = subject.resolution
    velocity = {} if kind in TRANSFORMERS else {"modelspec.prediction_type": "v" if kind is SD2_VELOCITY else "epsilon"}
    return {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": f"{kind.architecture}/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.title": title,
        "modelspec.resolution": f"{side}x{side}",
        "modelspec.trigger_phrase": subject.trigger,
        **velocity,
        "ss_base_model_version": kind.version,
        "ss_v2": str(kind in (SD2, SD2_VELOCITY)),
        "ss_network_module": module,
        **sizes,
        "ss_output_name": title,
        "ss_resolution": f"({side}, {side})",
        "ss_tag_frequency": json.dumps({subject.trigger: {subject.token: max(subject.photos, 1)}}),
    }


def as_json(value: Any) -> str:
    """Writes a value the same way every time."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
