"""Trains a diffusion model from noise: unconditional, by class or by text; on pixels or on an autoencoder's latents.

Symbols: B batch, N training images, C channels, h w cells (or pixels).
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel, UNet2DModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from src.core.errors import ConfigError
from src.core.seeding import derive_seed
from src.losses.diffusion import DiffusionLoss
from src.noise.diffusion import DiscreteDiffusion
from src.pretraining.alignment import Alignment
from src.pretraining.conditions import (
    ClassCondition,
    Condition,
    NoCondition,
    TextCondition,
    WarmUp,
    captions_of,
)
from src.pretraining.engine import Given
from src.pretraining.fid import Measure
from src.pretraining.images import Draws, ImageSet, check_pair, to_unit
from src.pretraining.sampling import DiffusionSampler, load_vae, sample_showcase
from src.pretraining.start import load_start
from src.pretraining.timesteps import Timesteps

NOISE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "v_prediction",
}
# held-out images, and timesteps of each, that the held-out loss looks at
EVALUATED, EVAL_TIMESTEPS = 128, (100, 300, 500, 700, 900)


class DiffusionTask:
    """Predicts velocity; a share of the conditions is left out for guidance.

    Papers: Progressive Distillation (Salimans & Ho, 2022), arXiv:2202.00512, for velocity; Classifier-Free Diffusion
    Guidance (Ho & Salimans, 2022), arXiv:2207.12598.

    Attributes:
        looks_ahead: See Task.

    Args:
        given: What every task is given.
        condition: ``none``, ``class`` or ``text``.
        unet: Arguments of UNet2DConditionModel for text, else of UNet2DModel.
        vae: A folder with an AutoencoderKL; None works on pixels.
        text: Arguments of CLIPTextConfig; needed for text.
        warm_up: Of the text encoder alone, before the training; None goes without.
        start: A saved model of the same kind to go on from; None starts from noise.
        loss: Of the prediction; plain MSE of the velocity leaves large shapes their weight at high noise.
        timesteps: Which noise levels are trained on.
        alignment: With a trained image encoder; None goes without.
        compiled: Whether updates run the denoiser through torch.compile: half a minute at first, faster from then on,
            other last bits.
        subject_weight: How many times as much as the background the subject counts in the loss; 1 weighs all alike. A
            small subject on a background that cannot be foretold is learnt far sooner so. More than 1 needs masks.
        dropout: Share of the conditions that are left out, in [0, 1).
        measures: What evaluations measure besides the held-out loss, such as FID.

    Raises:
        ConfigError: `condition` is none of the three, `text`, `vae` or the images do not fit it, or the two sets do not
            fit each other.
        MissingModelError: There is nothing to start from.
        ModelMismatchError: The model to start from is of another size.
    """

    looks_ahead = False

    def __init__(
        self,
        given: Given,
        condition: str,
        unet: dict[str, Any],
        vae: str | None,
        text: dict[str, Any] | None,
        warm_up: WarmUp | None,
        start: str | None,
        loss: DiffusionLoss,
        timesteps: Timesteps,
        alignment: Alignment | None,
        compiled: bool,
        subject_weight: float,
        dropout: float,
        measures: list[Measure],
    ) -> None:
        train_set, val_set, plan, seed, device = given
        check_pair(train_set, val_set, condition == "class")
        for measure in measures:
            measure.check(val_set)
        torch.manual_seed(derive_seed(seed, "weights"))
        self.plan, self.device, self.seed = plan, device, seed
        self.vae = _autoencoder(condition, vae, device)
        self.condition = _condition(condition, train_set, text, warm_up, dropout, seed, device)
        self.unet = self._build_unet(condition, unet).to(device)
        self.unet.to(memory_format=torch.channels_last)
        self.networks: dict[str, nn.Module] = {"unet": self.unet, **self.condition.networks}
        if start is not None:
            load_start(Path(start), self.networks)
        self.averaged = tuple(self.networks)
        self.timesteps, self.alignment = timesteps, alignment
        if alignment is not None:
            alignment.prepare(self.unet, train_set.pixels, device)
            self.networks["projector"] = alignment.projector
        self.denoise = torch.compile(self.unet, dynamic=False) if compiled else self.unet
        parameters = [parameter for network in self.networks.values() for parameter in network.parameters()]
        adam = torch.optim.AdamW(parameters, plan.lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
        self.optimizers: dict[str, torch.optim.Optimizer] = {"adam": adam}
        self.loss = loss
        self.process = DiscreteDiffusion.of(DDIMScheduler(**NOISE).config, device)
        self.train_set, self.val_set, self.measures = train_set, val_set, measures
        self.sampler = DiffusionSampler(
            self.unet, self.vae, self.condition, DDIMScheduler(**NOISE), plan.mixed_precision, device
        )
        self.latents = self.encode(train_set.pixels)
        _check_side(unet.get("sample_size"), self.latents.shape[-1])
        self.cell_roots = _cell_roots(train_set, self.latents.shape[-1], subject_weight)
        self.draws = Draws(len(train_set), plan.batch_size, seed)

    def _build_unet(self, condition: str, arguments: dict[str, Any]) -> nn.Module:
        channels = 3 if self.vae is None else int(self.vae.config.latent_channels)
        shape = {"in_channels": channels, "out_channels": channels}
        if condition == "text":
            unet = UNet2DConditionModel(**shape, **arguments)
            if self.device.type == "cpu":
                # the fused kernel's backward pass makes an update half as long again
                unet.set_attn_processor(AttnProcessor())
            return unet
        return UNet2DModel(**shape, num_class_embeds=self.condition.count, **arguments)

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Turns images into what the model denoises: scaled latent means, or the pixels themselves.

        Args:
            pixels: (N, 3, S, S), uint8.

        Returns:
            Latents (N, C, h, w), float32 on the device, where all of them fit and no update waits for the bus; without
            an autoencoder the pixels as they are.
        """
        if self.vae is None:
            return pixels
        scale = float(self.vae.config.scaling_factor)
        parts = []
        for part in pixels.split(64):
            with self.plan.autocast(self.device):
                posterior = self.vae.encode(to_unit(part, self.device)).latent_dist
            parts.append(posterior.mean.float() * scale)
        return torch.cat(parts)

    def batch(self, values: Tensor) -> Tensor:
        """Puts latents or pixels on the device, float32, channels last."""
        if self.vae is None:
            return to_unit(values, self.device)
        return values.to(self.device).contiguous(memory_format=torch.channels_last)

    def update(self, step: int) -> dict[str, Tensor]:
        """Does one update; see Task."""
        chosen = self.draws.at(step)
        clean = self.batch(self.latents[chosen])
        noise = torch.randn_like(clean)
        timesteps = self.timesteps.sample(len(clean), len(self.process.alphas_cumprod)).to(self.device)
        noised = self.process.add_noise(clean, noise, timesteps)
        with self.plan.autocast(self.device):
            arguments = self.condition.training_arguments(self.train_set, chosen, step)
            prediction = self.denoise(noised.x_t, timesteps, **arguments).sample
        # a squared error is weighted by the root of the weight on either side
        root = self.cell_roots[chosen].to(self.device) if self.cell_roots is not None else 1.0
        loss = self.loss(prediction.float() * root, replace(noised, target=noised.target * root)).mean()
        values = {"loss": loss.detach()}
        if self.alignment is not None:
            apart = self.alignment.loss(chosen)
            loss, values["alignment"] = loss + apart, apart.detach()
        self.plan.descend(self.optimizers["adam"], loss)
        return values

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Returns the held-out loss ``val_loss`` (unweighted, fixed noise) and what `measures` add."""
        for network in self.networks.values():
            network.eval()
        clean = self.encode(self.val_set.pixels[:EVALUATED])
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "val"))
        total = 0.0
        for timestep in EVAL_TIMESTEPS:
            for first in range(0, len(clean), 32):
                part = self.batch(clean[first : first + 32])
                noise = torch.randn(part.shape, generator=generator).to(self.device)
                timesteps = torch.full((len(part),), timestep, device=self.device)
                noised = self.process.add_noise(part, noise, timesteps)
                rows = torch.arange(first, first + len(part))
                with self.plan.autocast(self.device):
                    arguments = self.condition.arguments(self.condition.describe(self.val_set, rows))
                    prediction = self.unet(noised.x_t, timesteps, **arguments).sample
                total += float((prediction.float() - noised.target).square().mean()) * len(part)
        row = {"val_loss": total / len(clean) / len(EVAL_TIMESTEPS)}
        for measure in self.measures:
            row |= measure(self.sampler, self.val_set)
        for network in self.networks.values():
            network.train()
        return row

    def samples(self) -> dict[str, Tensor]:
        """Returns some images of each class, or of no class."""
        return sample_showcase(self.sampler, self.train_set.classes, self.seed)

    def save(self, folder: Path) -> None:
        """Writes a StableDiffusionPipeline for text, else unet, scheduler and vae in the format of diffusers."""
        self.condition.save(folder, self.unet, self.vae, DDIMScheduler(**NOISE))


def _autoencoder(condition: str, vae: str | None, device: torch.device) -> AutoencoderKL | None:
    if vae is not None:
        return load_vae(Path(vae), device)
    if condition == "text":
        raise ConfigError("task.vae=null: a model by text is saved as a StableDiffusionPipeline, which has one")
    return None


def _check_side(told: object, found: int) -> None:
    if told != found:
        raise ConfigError(f"task.unet.sample_size={told}: the images are {found} cells wide")


def _cell_roots(images: ImageSet, side: int, weight: float) -> Tensor | None:
    if not 1 <= weight < math.inf:
        raise ConfigError(f"task.subject_weight={weight}: expected a number from 1 on")
    if weight == 1:
        return None
    if images.masks is None:
        raise ConfigError(f"task.subject_weight={weight}: these images have no masks; take 1")
    cells = torch.cat([adaptive_avg_pool2d(part.float(), side) for part in images.masks.split(1000)])
    weights = 1 + (weight - 1) * cells
    return (weights / weights.mean()).sqrt().unsqueeze(1)


def _condition(
    kind: str,
    images: ImageSet,
    text: dict[str, Any] | None,
    warm_up: WarmUp | None,
    dropout: float,
    seed: int,
    device: torch.device,
) -> Condition:
    if (kind == "text") != (text is not None):
        raise ConfigError(f"task.condition={kind}: task.text is needed for text, and for text only")
    if kind == "text" and text is not None:
        return TextCondition(text, warm_up, captions_of(images), dropout, seed, device)
    if kind == "class":
        return ClassCondition(images.classes, dropout, device)
    if kind == "none":
        return NoCondition()
    raise ConfigError(f"task.condition={kind}: expected none, class or text")
