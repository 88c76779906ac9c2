"""A training step against a plain loop in the manner of diffusers' train_dreambooth_lora.py: VAE and text encoder in
every step, one loss read per step. Same tiny model, same batch, same adapter, same optimizer."""

import sys
import tempfile
from contextlib import nullcontext
from itertools import count
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers import DDPMScheduler

from benchmarks.common import compare, machine
from src.losses.diffusion import MSELoss
from src.methods.base import Method
from src.methods.lora import LoraMethod
from src.models.base import BaseModel, Denoiser
from src.models.families import load_base_model
from src.stages.training_setup import cached_encoder
from src.training.batches import LatentSet, SamplingPlan
from src.training.loop import train_step
from src.training.run import Hooks, Photos, Run, TrainPlan
from src.training.schedules import ConstantSchedule
from src.training.state import StateFolder
from tests.tiny.diffusion import build_diffusion
from tests.tiny.words import WORDS

BATCH, PHOTOS, STEPS, TURNS = 4, 12, 10, 7
CAPTION = "a photo of sksToy toy, on a table"
RANK = 16
METHOD = LoraMethod(RANK, float(RANK), 0.0, ["to_q", "to_k", "to_v", "to_out.0"], False, False, False, 1e-5, ["q_proj"])


def adapted(folder: Path, device: torch.device) -> tuple[BaseModel, list[torch.nn.Parameter]]:
    """Loads the model with a fresh adapter and lists what trains."""
    model = load_base_model(str(folder), None, None, "fp32", device)
    groups = METHOD.attach(model, 0)
    return model, [p for group in groups for p in group.parameters.values()]


def our_run(
    model: BaseModel,
    pixels: torch.Tensor,
    accelerator: Accelerator,
    state: Path,
    batch: int,
    recompute: bool,
    method: Method = METHOD,
) -> Run:
    """Builds a run with cached latents, and cached text where the method trains none.

    Args:
        model: The base.
        pixels: (N, 3, S, S), float32 in [-1, 1].
        accelerator: Device and precision.
        state: Nothing is written there.
        batch: Images per update.
        recompute: Gradient checkpointing.
        method: What trains.

    Returns:
        The run.
    """
    photos, side = len(pixels), float(pixels.shape[-1])
    moments = [model.encode_image(photo[None]) for photo in pixels]
    mean, std = (torch.cat(parts).cpu() for parts in zip(*moments, strict=True))
    groups = method.attach(model, 0)
    data = LatentSet(
        [str(i) for i in range(photos)], mean[None], std[None], [CAPTION] * photos, torch.full((photos, 2), side), None
    )
    optimizer = torch.optim.AdamW([{"params": list(g.parameters.values())} for g in groups], lr=1e-4)
    module, optimizer = accelerator.prepare(Denoiser(model, method.trains_text, recompute).train(), optimizer)
    return Run(
        accelerator,
        module,
        optimizer,
        groups,
        MSELoss(),
        ConstantSchedule(0),
        TrainPlan(10**6, batch, 1, 1.0, 1e-4, 0.0, None, 10**6, 10**6, 10**6, [0.5], 0, 0.0),
        SamplingPlan(0, model.process, 0.0, 0.0),
        list if method.trains_text else cached_encoder(model, [CAPTION]),
        Photos(data, None, data),
        StateFolder(state),
        Hooks(lambda _: None, lambda _: nullcontext(), lambda *_: None, lambda _: None, lambda _: False),
        None,
    )


def our_steps(folder: Path, pixels: torch.Tensor, accelerator: Accelerator) -> "object":
    """Returns a function that does STEPS updates with cached latents and text."""
    model = load_base_model(str(folder), None, None, "fp32", accelerator.device)
    run = our_run(model, pixels, accelerator, folder / "state", BATCH, False)
    steps = count()
    return lambda: [train_step(run, next(steps)) for _ in range(STEPS)]


def plain_steps(folder: Path, pixels: torch.Tensor, device: torch.device) -> "object":
    """Returns a function that does STEPS updates the plain way."""
    model, parameters = adapted(folder, device)
    pipe = model.pipeline
    scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
    pipe.unet.train()
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)

    def step() -> float:
        batch = pixels[torch.randint(PHOTOS, (BATCH,))].to(device)
        with torch.no_grad():
            latents = pipe.vae.encode(batch).latent_dist.sample() * pipe.vae.config.scaling_factor
            ids = pipe.tokenizer(
                [CAPTION] * BATCH, padding="max_length", truncation=True, return_tensors="pt"
            ).input_ids
            text = pipe.text_encoder(ids.to(device))[0]
        noise = torch.randn_like(latents)
        timesteps = torch.randint(scheduler.config.num_train_timesteps, (BATCH,), device=device)
        noisy = scheduler.add_noise(latents, noise, timesteps)
        loss = torch.nn.functional.mse_loss(pipe.unet(noisy, timesteps, text, return_dict=False)[0], noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach().item()

    return lambda: [step() for _ in range(STEPS)]


def main() -> None:
    """Runs on the tiny model, or on a local SD 1.x folder given as the argument."""
    print(machine())
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(name) / "sd"
        if len(sys.argv) == 1:
            build_diffusion(folder, "sd1", list(WORDS), 0)
        pixels = torch.rand(PHOTOS, 3, 64, 64) * 2 - 1
        ours, plain = our_steps(folder, pixels, accelerator), plain_steps(folder, pixels, accelerator.device)
        compare(f"{STEPS} training steps, batch {BATCH}", ours, plain, "a plain loop", TURNS)


if __name__ == "__main__":
    main()
