"""A LoRA trained as diffusers' train_dreambooth_lora.py and train_dreambooth_lora_sdxl.py do it, on its API alone.

Of commit 58eb52c, with their defaults: SD encodes images and captions in every update; SDXL encodes the one caption
before and keeps its VAE in float32; one loss is read per update; the adapter is float32 beside a base of half precision
where mixed precision is fp16.
"""

from collections.abc import Callable

import torch
from accelerate import Accelerator
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.training_utils import cast_training_params
from peft import LoraConfig
from torch import Tensor
from torch.nn import functional

from src.models.base import BaseModel, text_encoders
from src.models.sdxl import StableDiffusionXL

DTYPES = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
TARGETS = ["to_k", "to_q", "to_v", "to_out.0"]


def plain_steps(
    model: BaseModel,
    pixels: Tensor,
    caption: str,
    accelerator: Accelerator,
    batch: int,
    rank: int,
    recompute: bool,
) -> Callable[[], float]:
    """Prepares the loop.

    Args:
        model: The base; its weights are cast as the scripts cast them.
        pixels: (N, 3, S, S), float32 in [-1, 1].
        caption: Of every image.
        accelerator: Device and precision.
        batch: Images per update.
        rank: Of the adapter.
        recompute: Gradient checkpointing.

    Returns:
        Does one update and returns its loss.
    """
    pipe, device, is_xl = model.pipeline, accelerator.device, isinstance(model, StableDiffusionXL)
    dtype = DTYPES[accelerator.mixed_precision]
    pipe.vae.to(device, dtype=torch.float32 if is_xl else dtype)
    for part in (pipe.unet, *text_encoders(model).values()):
        part.to(device, dtype=dtype)
    parameters = _adapt(pipe.unet, rank, in_float32=accelerator.mixed_precision == "fp16")
    if recompute:
        pipe.unet.enable_gradient_checkpointing()
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-2, eps=1e-8)
    unet, optimizer = accelerator.prepare(pipe.unet, optimizer)
    unet.train()
    scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
    known: dict[str, object] | None = _embed(model, caption, batch) if is_xl else None

    def step() -> float:
        with accelerator.accumulate(unet):
            images = pixels[torch.randint(len(pixels), (batch,))].to(device, dtype=pipe.vae.dtype)
            with torch.no_grad():
                latents = pipe.vae.encode(images).latent_dist.sample() * pipe.vae.config.scaling_factor
                text = known or _embed(model, caption, batch)
            loss = _loss(unet, latents.to(dtype), scheduler, text)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
        return loss.detach().item()

    return step


def _adapt(unet: UNet2DConditionModel, rank: int, in_float32: bool) -> list[torch.nn.Parameter]:
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=TARGETS))
    if in_float32:
        cast_training_params([unet], dtype=torch.float32)
    return [parameter for parameter in unet.parameters() if parameter.requires_grad]


def _loss(unet: torch.nn.Module, latents: Tensor, scheduler: DDPMScheduler, text: dict[str, object]) -> Tensor:
    noise = torch.randn_like(latents)
    timesteps = torch.randint(scheduler.config.num_train_timesteps, (len(latents),), device=latents.device)
    noisy = scheduler.add_noise(latents, noise, timesteps)
    found = unet(noisy, timesteps, return_dict=False, **text)[0]
    return functional.mse_loss(found.float(), noise.float())


@torch.no_grad()
def _embed(model: BaseModel, caption: str, batch: int) -> dict[str, object]:
    pipe, device = model.pipeline, model.pipeline.unet.device
    if not isinstance(model, StableDiffusionXL):
        ids = pipe.tokenizer([caption] * batch, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return {"encoder_hidden_states": pipe.text_encoder(ids.to(device))[0]}
    states, _, pooled, _ = pipe.encode_prompt(caption, device=device, do_classifier_free_guidance=False)
    side = float(pipe.unet.config.sample_size * pipe.vae_scale_factor)
    sizes = torch.tensor([[side, side, 0.0, 0.0, side, side]], device=device, dtype=states.dtype)
    return {
        "encoder_hidden_states": states.repeat(batch, 1, 1),
        "added_cond_kwargs": {"text_embeds": pooled.repeat(batch, 1), "time_ids": sizes.repeat(batch, 1)},
    }
