"""The text chunks of a picture: ours, exact, and `parameters` as AUTOMATIC1111's web UI writes it."""

import json
import re

import torch

from src.core.files import sha256_bytes
from src.core.picture_record import CHUNK, FORMAT, PictureRecord
from src.sampling.generator import Job, SamplingSettings
from src.sampling.variants import Variant

PARAMETERS = "parameters"
# what AUTOMATIC1111's web UI calls the schedulers of diffusers (diffusers' documentation, api/schedulers/overview)
SAMPLERS = {
    "DDIMScheduler": "DDIM",
    "DPMSolverMultistepScheduler": "DPM++ 2M",
    "DPMSolverSinglestepScheduler": "DPM++ 2S",
    "EulerAncestralDiscreteScheduler": "Euler a",
    "EulerDiscreteScheduler": "Euler",
    "FlowMatchEulerDiscreteScheduler": "Euler",
    "FlowMatchHeunDiscreteScheduler": "Heun",
    "HeunDiscreteScheduler": "Heun",
    "KDPM2AncestralDiscreteScheduler": "DPM2 a",
    "KDPM2DiscreteScheduler": "DPM2",
    "LMSDiscreteScheduler": "LMS",
    "PNDMScheduler": "PLMS",
    "UniPCMultistepScheduler": "UniPC",
}
# of a model's hash, digits that are shown
MODEL_DIGITS = 10


def base_hash(digest: str) -> str:
    """Picks a base model's SHA-256.

    Args:
        digest: What `src.core.provenance.model_digest` says: of a folder or a file its own hash comes first.

    Returns:
        64 hexadecimal digits; of a hub id the hash of that text, which names the pinned revision.
    """
    own = re.match(r"[0-9a-f]{64}(?=:)", digest)
    return own[0] if own else sha256_bytes(digest.encode())


def record_of(
    job: Job, settings: SamplingSettings, variant: Variant, base: tuple[str, str], device: str
) -> PictureRecord:
    """Returns all that decides a picture.

    Args:
        job: What was generated.
        settings: How.
        variant: With which adapters.
        base: What configs/model call the base model, and its SHA-256.
        device: Its kind.

    Returns:
        What the picture says of itself.
    """
    return PictureRecord(
        format=FORMAT,
        prompt=job.text,
        negative_prompt=settings.negative_prompt,
        seed=job.drawn_from(settings.seed),
        steps=settings.num_inference_steps,
        sampler=settings.sampler,
        sampler_options=settings.sampler_options,
        guidance_scale=settings.guidance_scale,
        width=settings.width or settings.resolution,
        height=settings.height or settings.resolution,
        batch_size=settings.batch_size,
        dtype=settings.dtype,
        device=device,
        torch=torch.__version__,
        model=base[0],
        model_sha256=base[1],
        adapters=[
            {"name": one.folder.name, "sha256": one.file_digest, "weight": float(one.weight)}
            for one in variant.adapters
            if one.folder is not None
        ],
        fuse=variant.fuse if variant.adapters else None,
        start_sha256=settings.start.sha256 if settings.start else "",
        strength=settings.start.strength if settings.start else 1.0,
    )


def parameters_text(record: PictureRecord) -> str:
    """Writes a record as AUTOMATIC1111's web UI does: prompt, negative prompt, and a line of keys and values.

    Args:
        record: What the picture says of itself.

    Returns:
        The text of the chunk `parameters`. It has no "Lora hashes": the web UI finds a LoRA by the hash of its file
        without the header, and a checkpoint here may be several files, or one that was converted.
    """
    values = {
        "Steps": record.steps,
        "Sampler": SAMPLERS.get(record.sampler, record.sampler.removesuffix("Scheduler")),
        "CFG scale": record.guidance_scale,
        "Seed": record.seed,
        "Size": f"{record.width}x{record.height}",
        "Model hash": record.model_sha256[:MODEL_DIGITS],
        "Model": record.model,
    }
    if record.start_sha256:
        values["Denoising strength"] = record.strength
    if record.adapters:
        values["Lora weights"] = ", ".join(f"{one['name']}: {one['weight']:g}" for one in record.adapters)
    negative = [f"Negative prompt: {record.negative_prompt}"] if record.negative_prompt else []
    line = ", ".join(f"{key}: {_quoted(value)}" for key, value in values.items())
    return "\n".join([record.prompt, *negative, line])


def chunks(record: PictureRecord) -> dict[str, str]:
    """Returns the text chunks of a picture, by keyword."""
    return {PARAMETERS: parameters_text(record), CHUNK: record.dump()}


def _quoted(value: object) -> str:
    """Quotes as the web UI does (modules/infotext_utils.py, `quote`)."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r"[,\n:]", text) else text
