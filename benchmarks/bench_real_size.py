"""Training and sampling at the true size of SD 1.5 and SDXL on a GPU: seconds, memory, repeatability; beside diffusers.

`python -m benchmarks.bench_real_size [sd15] [sdxl]`. The weights are random: time and memory ask for no real ones. Each
setting is timed in turn with the loop of diffusers' own scripts (`plain_loop`). `tiny15` and `tinyxl` are the same at
toy size, for a processor; `bash benchmarks/real_size.sh` runs it all on a machine that has torch and little else.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from diffusers import (
    AutoencoderKL,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers import DPMSolverMultistepScheduler as DPMSolver
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from benchmarks.bench_train import CAPTION, RANK, our_run
from benchmarks.common import machine, seconds
from benchmarks.plain_loop import plain_steps
from benchmarks.real_sizes import SIZES
from src.core.files import sha256_bytes
from src.models.base import DTYPES, BaseModel, text_encoders
from src.models.sd import StableDiffusion
from src.models.sdxl import StableDiffusionXL
from src.models.tokenizers import CONTEXT_LENGTH, build_clip_tokenizer
from src.sampling.generator import Job, SamplingSettings, sample
from src.sampling.prompts import Prompt
from src.training.determinism import set_deterministic, set_environment
from src.training.loop import train_step
from tests.tiny.diffusion import NOISE
from tests.tiny.words import WORDS

PHOTOS, WARM, REPEATED = 4, 3, 3


class Setting(NamedTuple):
    """How a model is trained.

    Attributes:
        base: What the frozen base is kept in.
        mixed: accelerate's mixed precision.
        batch: Images per update.
        recompute: Gradient checkpointing.
        repeatable: Deterministic kernels only, without TF32.
    """

    base: str
    mixed: str
    batch: int
    recompute: bool
    repeatable: bool


SETTINGS = {
    "sd15": [
        Setting("fp32", "no", 4, False, True),
        Setting("fp32", "no", 4, False, False),
        Setting("bf16", "bf16", 4, False, True),
        Setting("bf16", "bf16", 4, False, False),
        Setting("fp16", "fp16", 4, False, True),
        Setting("bf16", "bf16", 4, True, True),
    ],
    "sdxl": [
        Setting("bf16", "bf16", 1, True, True),
        Setting("bf16", "bf16", 4, True, True),
        Setting("bf16", "bf16", 4, False, True),
        Setting("fp16", "fp16", 1, True, True),
    ],
    "tiny15": [Setting("fp32", "no", 2, False, True), Setting("bf16", "bf16", 2, True, True)],
    "tinyxl": [Setting("bf16", "bf16", 1, True, True)],
}


def build(name: str, dtype: str, device: torch.device) -> BaseModel:
    """Builds a base model of random weights on the device.

    Args:
        name: A key of SIZES.
        dtype: Of everything but the VAE.
        device: Where to.

    Returns:
        The model, frozen, as `load_base_model` leaves it.
    """
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        build_clip_tokenizer(Path(folder), list(WORDS), "<|endoftext|>", CONTEXT_LENGTH)
        tokenizer = CLIPTokenizer.from_pretrained(folder)
    tokens = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    scheduler = DPMSolver(**{k: NOISE[k] for k in ("beta_start", "beta_end", "beta_schedule", "steps_offset")})
    size = SIZES[name]
    family = StableDiffusionXL if len(size.clip) == 2 else StableDiffusion
    texts = [
        CLIPTextConfig(**arguments, **tokens, projection_dim=width, vocab_size=len(tokenizer))
        for arguments, width in zip(size.clip, size.projections, strict=True)
    ]
    with device:
        vae = AutoencoderKL(**size.vae, scaling_factor=0.18215, force_upcast=False)
        first, unet = CLIPTextModel(texts[0]), UNet2DConditionModel(**size.unet)
        second = CLIPTextModelWithProjection(texts[1]) if family is StableDiffusionXL else None
    if second is not None:
        pipeline = StableDiffusionXLPipeline(vae, first, second, tokenizer, tokenizer, unet, scheduler)
    else:
        pipeline = StableDiffusionPipeline(vae, first, tokenizer, unet, scheduler, None, None, None, False)
    for component in pipeline.components.values():
        if isinstance(component, torch.nn.Module):
            component.to(torch.float32 if component is vae else DTYPES[dtype]).eval().requires_grad_(False)
    pipeline.set_progress_bar_config(disable=True)
    return family.of(pipeline, device)


def side_of(model: BaseModel) -> int:
    """Returns the side of the images that the UNet was made for, pixels."""
    return int(model.pipeline.unet.config.sample_size * model.pipeline.vae_scale_factor)


def train(name: str, setting: Setting, folder: Path, updates: int) -> tuple[float, float, str]:
    """Trains an adapter from a fixed seed.

    Args:
        name: The model's.
        setting: How.
        folder: Nothing is written there.
        updates: How many, after WARM that are not timed.

    Returns:
        Seconds per update, GiB of GPU memory at most, and a digest of the adapter's weights.
    """
    accelerator, model, pixels = _prepare(name, setting)
    run = our_run(model, pixels, accelerator, folder, setting.batch, setting.recompute)
    model.pipeline.vae.to("cpu")
    for encoder in text_encoders(model).values():
        encoder.to("cpu")
    took, memory = _timed(lambda step: train_step(run, step), updates)
    weights = [p.detach().cpu().numpy().tobytes() for group in run.groups for p in group.parameters.values()]
    return took, memory, sha256_bytes(b"".join(weights))[:12]


def train_plainly(name: str, setting: Setting, updates: int) -> tuple[float, float]:
    """Trains as diffusers' scripts do.

    Args:
        name: The model's.
        setting: How.
        updates: How many, after WARM that are not timed.

    Returns:
        Seconds per update, and GiB of GPU memory at most.
    """
    accelerator, model, pixels = _prepare(name, setting)
    step = plain_steps(model, pixels, CAPTION, accelerator, setting.batch, RANK, setting.recompute)
    return _timed(lambda _: step(), updates)


def _prepare(name: str, setting: Setting) -> tuple[Accelerator, BaseModel, torch.Tensor]:
    set_deterministic(setting.repeatable)
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(mixed_precision=setting.mixed, cpu=not torch.cuda.is_available())
    model = build(name, setting.base, accelerator.device)
    side = side_of(model)
    pixels = torch.rand(PHOTOS, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return accelerator, model, pixels


def _timed(update: Callable[[int], object], updates: int) -> tuple[float, float]:
    torch.cuda.empty_cache()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    for step in range(WARM):
        update(step)
    took = seconds(lambda: [update(step) for step in range(WARM, WARM + updates)]) / updates
    return took, torch.cuda.max_memory_allocated() / 2**30


def rendering_seconds(name: str, dtype: str, device: torch.device) -> float:
    """Returns seconds per image, with guidance, eight at once for SD 1.5 and four for SDXL."""
    model = build(name, dtype, device)
    batch, steps = 4 if name.endswith("xl") else 8, SIZES[name].sample_steps
    settings = SamplingSettings(side_of(model), 1, steps, 7.5, "", batch, 0, "DPMSolverMultistepScheduler", {}, dtype)
    jobs = [Job(Prompt(str(i), "test", "timed", ""), CAPTION, 0) for i in range(batch)]
    list(sample(model, settings, jobs[:1]))
    return seconds(lambda: list(sample(model, settings, jobs))) / batch


def report(name: str, setting: Setting, folder: Path) -> str:
    """Times a setting in turn with the plain loop (A B A B), and says whether two trainings give the same bytes.

    Args:
        name: A key of SIZES.
        setting: How.
        folder: Nothing is written there.

    Returns:
        A line.
    """
    updates, turns = SIZES[name].updates, SIZES[name].turns
    pairs = [(train(name, setting, folder, updates), train_plainly(name, setting, updates)) for _ in range(turns)]
    ratios = sorted(plain[0] / ours[0] for ours, plain in pairs)
    (took, memory, _), (plain_took, plain_memory) = pairs[-1]
    line = (
        f"{name} {setting}: {took:.3f} s an update, {setting.batch / took:.1f} images/s, {memory:.1f} GiB; "
        f"diffusers' loop {plain_took:.3f} s, {plain_memory:.1f} GiB: {ratios[0]:.2f} to {ratios[-1]:.2f} times as fast"
    )
    if setting.repeatable:
        digests = {train(name, setting, folder, REPEATED)[2] for _ in range(2)}
        line += ", the same bytes twice" if len(digests) == 1 else ", NOT the same bytes twice"
    return line


def main(names: Sequence[str]) -> None:
    """Prints a line for each setting.

    Args:
        names: Keys of SIZES.

    Raises:
        SystemExit: A size is unknown, or needs a GPU and there is none.
    """
    for name in names:
        if name not in SIZES:
            raise SystemExit(f"bench_real_size: {name}: expected {', '.join(SIZES)}")
        if not torch.cuda.is_available() and not name.startswith("tiny"):
            raise SystemExit(f"bench_real_size: no GPU here; at the size of {name} a processor is no use")
    set_environment()
    print(machine())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            for setting in SETTINGS[name]:
                print(report(name, setting, Path(folder)), flush=True)
            for dtype in ("bf16",) if name.endswith("xl") else ("fp32", "bf16"):
                print(
                    f"{name} generated in {dtype}: {rendering_seconds(name, dtype, device):.2f} s an image", flush=True
                )


if __name__ == "__main__":
    main(sys.argv[1:] or ["sd15", "sdxl"])
