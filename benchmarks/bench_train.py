"""A training step against a plain loop in the manner of diffusers' train_dreambooth_lora.py: VAE and text encoder in
every step, one loss read per step. Same tiny model, same batch, same adapter, same optimizer."""

import sys
import tempfile
from contextlib import nullcontext
from itertools import count
from pathlib import Path

import torch
from accelerate import Accelerator

from benchmarks.common import compare, machine
from src.losses.diffusion import MSELoss
from src.models.lora import LoraMethod
from src.models.stable_diffusion import Denoiser, StableDiffusion, load_stable_diffusion
from src.stages.training_setup import cached_encoder
from src.tiny.diffusion import build_diffusion
from src.tiny.words import WORDS
from src.training.batches import DrawPlan, LatentSet
from src.training.loop import train_step
from src.training.run import Hooks, Noise, Run, TrainPlan
from src.training.schedules import ConstantSchedule
from src.training.state import StateFolder

BATCH, PHOTOS, STEPS, TURNS = 4, 12, 10, 7
CAPTION = "a photo of sksToy toy, on a table"
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]


def adapted(folder: Path, device: torch.device) -> tuple[StableDiffusion, list[torch.nn.Parameter]]:
    """Loads the model with a fresh adapter and lists what trains."""
    model = load_stable_diffusion(str(folder), None, None, "fp32", device)
    groups = LoraMethod(16, 16.0, 0.0, ATTENTION, False, False, 1e-5, ["q_proj"]).attach(model, 0)
    return model, [p for group in groups for p in group.parameters.values()]


def our_steps(folder: Path, pixels: torch.Tensor, accelerator: Accelerator) -> "object":
    """Builds a run with cached latents and text, and returns a function that does STEPS updates."""
    model = load_stable_diffusion(str(folder), None, None, "fp32", accelerator.device)
    mean, std = model.encode_image(pixels)
    groups = LoraMethod(16, 16.0, 0.0, ATTENTION, False, False, 1e-5, ["q_proj"]).attach(model, 0)
    data = LatentSet(
        [str(i) for i in range(PHOTOS)],
        mean[None].cpu(),
        std[None].cpu(),
        [CAPTION] * PHOTOS,
        torch.full((PHOTOS, 2), 64.0),
    )
    optimizer = torch.optim.AdamW([{"params": list(g.parameters.values())} for g in groups], lr=1e-4)
    module, optimizer = accelerator.prepare(Denoiser(model, False, False).train(), optimizer)
    scheduler = model.noise_scheduler
    run = Run(
        accelerator,
        module,
        optimizer,
        groups,
        MSELoss(),
        ConstantSchedule(0),
        TrainPlan(10**6, BATCH, 1, 1.0, 1e-4, 0.0, 10**6, 10**6, 10**6, [0.5], 0),
        DrawPlan(0, scheduler.config.num_train_timesteps, 0.0),
        Noise(scheduler.alphas_cumprod.to(accelerator.device), scheduler.config.prediction_type),
        cached_encoder(model, [CAPTION]),
        data,
        None,
        data,
        StateFolder(folder / "state"),
        Hooks(lambda _: None, lambda _: nullcontext(), lambda *_: None, lambda _: None),
    )
    steps = count()
    return lambda: [train_step(run, next(steps)) for _ in range(STEPS)]


def plain_steps(folder: Path, pixels: torch.Tensor, device: torch.device) -> "object":
    """Returns a function that does STEPS updates the plain way."""
    model, parameters = adapted(folder, device)
    pipe, scheduler = model.pipeline, model.noise_scheduler
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
