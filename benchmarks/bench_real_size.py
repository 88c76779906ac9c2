"""Training and drawing at the true size of SD 1.5 and SDXL on a GPU: seconds, memory, repeatability.

`python -m benchmarks.bench_real_size [sd15] [sdxl]`. The weights are random: time and memory ask for no real ones.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers import DPMSolverMultistepScheduler as DPMSolver
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from benchmarks.bench_train import CAPTION, our_run
from benchmarks.common import machine
from src.core.files import sha256_bytes
from src.models.stable_diffusion import DTYPES, StableDiffusion
from src.sampling.generator import DrawSettings, Job, draw
from src.sampling.prompts import Prompt
from src.tiny.diffusion import NOISE
from src.tiny.text import CONTEXT_LENGTH, build_clip_tokenizer
from src.tiny.words import WORDS
from src.training.determinism import set_deterministic, set_environment
from src.training.loop import train_step

PHOTOS, WARM, UPDATES, REPEATED = 4, 3, 10, 3
SD_UNET = {"cross_attention_dim": 768, "attention_head_dim": 8, "sample_size": 64}
XL_UNET = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
CLIP_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}


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
}


def build(name: str, dtype: str, device: torch.device) -> StableDiffusion:
    """Builds a base model of random weights on the device.

    Args:
        name: ``sd15`` or ``sdxl``.
        dtype: Of everything but the VAE.
        device: Where to.

    Returns:
        The model, frozen, as `load_stable_diffusion` leaves it.
    """
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        build_clip_tokenizer(Path(folder), list(WORDS), "<|endoftext|>", CONTEXT_LENGTH)
        tokenizer = CLIPTokenizer.from_pretrained(folder)
    tokens = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    scheduler = DPMSolver(**{k: NOISE[k] for k in ("beta_start", "beta_end", "beta_schedule", "steps_offset")})
    with device:
        vae = AutoencoderKL(**VAE, scaling_factor=0.18215, force_upcast=False)
        first = CLIPTextModel(CLIPTextConfig(**CLIP_L, **tokens, projection_dim=768))
        unet = UNet2DConditionModel(**(XL_UNET if name == "sdxl" else SD_UNET))
        second = (
            CLIPTextModelWithProjection(CLIPTextConfig(**CLIP_G, **tokens, projection_dim=1280))
            if name == "sdxl"
            else None
        )
    if second is not None:
        pipeline = StableDiffusionXLPipeline(vae, first, second, tokenizer, tokenizer, unet, scheduler)
    else:
        pipeline = StableDiffusionPipeline(vae, first, tokenizer, unet, scheduler, None, None, None, False)
    for component in pipeline.components.values():
        if isinstance(component, torch.nn.Module):
            component.to(torch.float32 if component is vae else DTYPES[dtype]).eval().requires_grad_(False)
    unet.to(memory_format=torch.channels_last)
    pipeline.set_progress_bar_config(disable=True)
    return StableDiffusion(pipeline, name == "sdxl", DDPMScheduler.from_config(scheduler.config), device)


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
    set_deterministic(setting.repeatable)
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(mixed_precision=setting.mixed)
    model = build(name, setting.base, accelerator.device)
    side = model.resolution
    pixels = torch.rand(PHOTOS, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    run = our_run(model, pixels, accelerator, folder, setting.batch, setting.recompute)
    model.pipeline.vae.to("cpu")
    for encoder in model.text_encoders.values():
        encoder.to("cpu")
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    for step in range(WARM):
        train_step(run, step)
    torch.cuda.synchronize()
    began = time.perf_counter()
    for step in range(WARM, WARM + updates):
        train_step(run, step)
    torch.cuda.synchronize()
    took = (time.perf_counter() - began) / updates
    weights = [p.detach().cpu().numpy().tobytes() for group in run.groups for p in group.parameters.values()]
    return took, torch.cuda.max_memory_allocated() / 2**30, sha256_bytes(b"".join(weights))[:12]


def drawing_seconds(name: str, dtype: str, device: torch.device) -> float:
    """Returns seconds per image: 30 steps with guidance, eight at once for SD 1.5 and four for SDXL."""
    model = build(name, dtype, device)
    batch = 4 if model.is_xl else 8
    settings = DrawSettings(model.resolution, 1, 30, 7.5, "", batch, 0, "DPMSolverMultistepScheduler", {}, dtype)
    jobs = [Job(Prompt(str(i), "test", "timed", ""), CAPTION, 0) for i in range(batch)]
    list(draw(model, settings, jobs[:1]))
    torch.cuda.synchronize()
    began = time.perf_counter()
    list(draw(model, settings, jobs))
    return (time.perf_counter() - began) / batch


def main() -> None:
    """Prints a line for each setting.

    Raises:
        SystemExit: There is no GPU.
    """
    if not torch.cuda.is_available():
        raise SystemExit("bench_real_size: no GPU here; at this size a processor is no use")
    set_environment()
    print(machine())
    device = torch.device("cuda")
    for name in sys.argv[1:] or list(SETTINGS):
        with tempfile.TemporaryDirectory() as folder:
            for setting in SETTINGS[name]:
                seconds, memory, _ = train(name, setting, Path(folder), UPDATES)
                rate = setting.batch / seconds
                line = f"{name} {setting}: {seconds:.3f} s an update, {rate:.1f} images/s, {memory:.1f} GiB"
                if setting.repeatable:
                    digests = {train(name, setting, Path(folder), REPEATED)[2] for _ in range(2)}
                    line += ", the same bytes twice" if len(digests) == 1 else ", NOT the same bytes twice"
                print(line, flush=True)
            for dtype in ("bf16",) if name == "sdxl" else ("fp32", "bf16"):
                print(f"{name} drawn in {dtype}: {drawing_seconds(name, dtype, device):.2f} s an image", flush=True)


if __name__ == "__main__":
    main()
