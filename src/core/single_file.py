"""Single-file checkpoints, as AUTOMATIC1111's web UI and ComfyUI use them: what one holds, read from its header alone.

The file has weights and nothing else. Settings and tokenizers come from a diffusers folder, `model.config`.
"""

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from src.core.errors import MissingModelError, ModelMismatchError
from src.core.files import has_file

SUFFIX = ".safetensors"
PICKLES = (".ckpt", ".pt", ".pth", ".bin")
# SDXL has 2,500 tensors, whose names take 300 KB
MAX_HEADER_BYTES = 16 << 20
# what may stand before the names of a denoiser
WRAPPER = "model.diffusion_model."
# what files of models that predict velocity have beside their weights
VELOCITY = "v_pred"
# what tensors of adapters are called, in any tool's layout
ADAPTED = re.compile(r"\.lora_|_lora\.|\.lora\.|\.hada_|\.lokr_|lora_(?:unet|te)|lora_linear_layer")


@dataclass(frozen=True)
class Layout:
    """How the names of a kind of checkpoint begin, by component.

    Attributes:
        pipeline: The pipeline of diffusers.
        needed: Of what a file must hold.
        other: Of what it may hold.
    """

    pipeline: str
    needed: Mapping[str, str]
    other: Mapping[str, str]


UNET = {"unet": "input_blocks.", "vae": "first_stage_model."}
LAYOUTS = (
    Layout(
        "StableDiffusionXLPipeline",
        UNET | {"text_encoder": "conditioner.embedders.0.", "text_encoder_2": "conditioner.embedders.1."},
        {},
    ),
    Layout("StableDiffusionPipeline", UNET | {"text_encoder": "cond_stage_model."}, {}),
    Layout(
        "StableDiffusion3Pipeline",
        {"transformer": "joint_blocks."},
        {
            "vae": "first_stage_model.",
            "text_encoder": "text_encoders.clip_l.",
            "text_encoder_2": "text_encoders.clip_g.",
            "text_encoder_3": "text_encoders.t5xxl.",
        },
    ),
    Layout("FluxPipeline", {"transformer": "double_blocks."}, {}),
)


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes:
        pipeline: The pipeline of diffusers that it is of.
        parts: The components whose weights it has.
        velocity: Whether it says that it predicts velocity.
    """

    pipeline: str
    parts: tuple[str, ...]
    velocity: bool


def is_single_file(model_id: str) -> bool:
    """Says whether a model's id names a file, there or not; a pickle is one only if it is there."""
    path = Path(model_id)
    return not path.is_dir() and (path.suffix == SUFFIX or (path.suffix in PICKLES and path.exists()))


def read_contents(path: Path) -> Contents:
    """Reads what a single-file checkpoint holds.

    Args:
        path: The file, perhaps from somebody else.

    Returns:
        Its parts.

    Raises:
        MissingModelError: It is not there.
        ModelMismatchError: It is a pickle, is not whole, or is no checkpoint of a supported model.
        NotAFileError: It is a pipe, a device or a socket.
    """
    if path.suffix in PICKLES:
        raise ModelMismatchError(f"{path}: a pickle, which may run code when it is read; expected a {SUFFIX} file")
    if not has_file(path):
        raise MissingModelError(f"{path}: no such file")
    names = _read_names(path)
    starts = {".".join(name.removeprefix(WRAPPER).split(".")[:depth]) + "." for name in names for depth in (1, 2, 3)}
    for layout in LAYOUTS:
        if starts.issuperset(layout.needed.values()):
            held = [part for part, start in layout.other.items() if start in starts]
            return Contents(layout.pipeline, (*layout.needed, *held), VELOCITY in names)
    if adapters := sorted(name for name in names if ADAPTED.search(name)):
        raise ModelMismatchError(
            f"{path}: an adapter, as {adapters[0][:80]}, and no whole model; it goes into inferencer.ckpt_dir"
        )
    raise ModelMismatchError(
        f"{path}: no checkpoint of a Stable Diffusion with UNet, VAE and text encoders, nor of the transformer of "
        f"Stable Diffusion 3 or FLUX.1; its first tensor is {min(names, default='none')[:80]}"
    )


def _read_names(path: Path) -> set[str]:
    """Returns the tensors' names; raises where the file is cut off or is something else."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
            raise ModelMismatchError(f"{path}: not a safetensors file, or cut off in its header")
        try:
            header = json.loads(stream.read(length))
            ends = {name: int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"}
        except (ValueError, RecursionError, AttributeError, LookupError, TypeError) as error:
            raise ModelMismatchError(f"{path}: not a safetensors file: its header cannot be read") from error
    if (wanted := 8 + length + max(ends.values(), default=0)) != size:
        raise ModelMismatchError(f"{path}: damaged: {size} bytes, its header tells of {wanted}")
    return set(ends)
