"""Generates images with a model trained from noise: while it trains, and from what it saved.

Symbols: N images, S side in pixels, K classes.
"""

import json
from pathlib import Path
from typing import Any, Protocol

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel, UNet2DModel
from torch import Tensor

from src.core.device import autocast
from src.core.errors import ConfigError
from src.core.files import check_folder
from src.core.seeding import derive_seed
from src.core.weights import check_saved
from src.models.pixels import to_bytes
from src.models.tensors import load_tensors
from src.pretraining.conditions import ClassCondition, Condition, NoCondition
from src.pretraining.gan_networks import Generator

# how pictures are generated that people look at, and how many of each class
SHOWN_STEPS, SHOWN_GUIDANCE, SHOWN = 30, 3.0, 6


class ImageSampler(Protocol):
    """Generates images.

    Attributes:
        condition: What the model is told.
        device: Where it is.
    """

    condition: Condition
    device: torch.device

    def sample(self, wanted: list[Any], seed: int, steps: int, guidance: float, batch_size: int) -> Tensor:
        """Generates.

        Args:
            wanted: A text or a class number for each image; None for each without condition.
            seed: Of the noise; image i depends on (seed, i) alone, but for its last bits.
            steps: Denoising steps, 1 or more; a GAN has none.
            guidance: Classifier-free guidance scale; 1 switches it off. A GAN has none.
            batch_size: Images at a time.

        Returns:
            (N, 3, S, S), uint8, on the CPU.
        """
        ...


class DiffusionSampler:
    """Generates by DDIM.

    Paper: Denoising Diffusion Implicit Models (Song et al., 2020), arXiv:2010.02502.

    Args:
        unet: Predicts what `scheduler` expects.
        vae: Turns latents into images; None for a model of pixels.
        condition: What the model is told.
        scheduler: The noise schedule.
        precision: ``no`` or ``bf16``.
        device: Where it all is.
    """

    def __init__(
        self,
        unet: UNet2DModel | UNet2DConditionModel,
        vae: AutoencoderKL | None,
        condition: Condition,
        scheduler: DDIMScheduler,
        precision: str,
        device: torch.device,
    ) -> None:
        self.unet, self.vae, self.condition, self.scheduler = unet, vae, condition, scheduler
        self.precision, self.device = precision, device

    @torch.no_grad()
    def sample(self, wanted: list[Any], seed: int, steps: int, guidance: float, batch_size: int) -> Tensor:
        """Generates; see Drawer."""
        self.scheduler.set_timesteps(steps)
        side = int(self.unet.config.sample_size)
        shape = (int(self.unet.config.in_channels), side, side)
        images = []
        for rows in torch.arange(len(wanted)).split(batch_size):
            part = [wanted[row] for row in rows.tolist()]
            latents = _noise(shape, seed, rows).to(self.device)
            guided = guidance != 1 and self.condition.can_guide
            with autocast(self.precision, self.device):
                arguments = self.condition.arguments([*part, *self.condition.nothing(len(part))] if guided else part)
            for timestep in self.scheduler.timesteps:
                twice = torch.cat([latents, latents]) if guided else latents
                with autocast(self.precision, self.device):
                    prediction = self.unet(twice, timestep.to(self.device), **arguments).sample.float()
                if guided:
                    cond, uncond = prediction.chunk(2)
                    prediction = uncond + guidance * (cond - uncond)
                latents = self.scheduler.step(prediction, timestep, latents).prev_sample
            images.append(self._decode(latents))
        return torch.cat(images)

    def _decode(self, latents: Tensor) -> Tensor:
        if self.vae is not None:
            with autocast(self.precision, self.device):
                latents = self.vae.decode(latents / float(self.vae.config.scaling_factor)).sample.float()
        return to_bytes(latents)


class GanSampler:
    """Generates with the generator of a GAN.

    Args:
        generator: Is in evaluation mode while it generates, so that no image depends on its neighbours.
        condition: What the model is told.
        device: Where it is.
    """

    def __init__(self, generator: Generator, condition: Condition, device: torch.device) -> None:
        self.generator, self.condition, self.device = generator, condition, device

    @torch.no_grad()
    def sample(self, wanted: list[Any], seed: int, steps: int, guidance: float, batch_size: int) -> Tensor:  # noqa: ARG002
        """Generates; see Drawer."""
        was_training = self.generator.training
        self.generator.eval()
        labels = self.condition.arguments(wanted).get("class_labels")
        images = []
        for rows in torch.arange(len(wanted)).split(batch_size):
            noise = _noise((self.generator.noise_size,), seed, rows).to(self.device)
            images.append(to_bytes(self.generator(noise, None if labels is None else labels[rows.to(self.device)])))
        self.generator.train(was_training)
        return torch.cat(images)


def sample_showcase(sampler: ImageSampler, classes: list[str], seed: int) -> dict[str, Tensor]:
    """Generates SHOWN images of each class, or of no class, for people to look at; (SHOWN, 3, S, S), uint8, by name."""
    wanted = sampler.condition.showcase(classes, SHOWN)
    flat = [item for items in wanted.values() for item in items]
    images = sampler.sample(flat, seed, SHOWN_STEPS, SHOWN_GUIDANCE, 64)
    return dict(zip(wanted, images.split(SHOWN), strict=True))


def load_sampler(folder: Path, precision: str, device: torch.device) -> ImageSampler:
    """Loads a model that `train.py` has trained from noise, without condition or by class.

    Args:
        folder: ``model`` in the folder that the training wrote.
        precision: ``no`` or ``bf16``.
        device: Where to.

    Returns:
        What generates with it.

    Raises:
        MissingModelError: There is no such model.
        ConfigError: It is one that generates by text, which the pipeline's own commands generate with.
    """
    check_folder(folder)
    if (folder / "generator.safetensors").is_file():
        generator = Generator(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
        tensors, _ = load_tensors(folder / "generator.safetensors")
        generator.load_state_dict(tensors)
        generator.to(device).to(memory_format=torch.channels_last)
        return GanSampler(generator.eval(), _saved_condition(folder, device), device)
    if (folder / "model_index.json").is_file():
        raise ConfigError(
            f"{folder}: generates by text, as Stable Diffusion does; the model of a run is named by model.id"
        )
    check_saved(folder, f"{folder}: no model there; expected exp.run_dir/model of a training from noise", "unet")
    unet = UNet2DModel.from_pretrained(folder / "unet", local_files_only=True, use_safetensors=True)
    unet = unet.to(device, memory_format=torch.channels_last).eval()
    vae = load_vae(folder / "vae", device) if (folder / "vae").is_dir() else None
    scheduler = DDIMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
    return DiffusionSampler(unet, vae, _saved_condition(folder, device), scheduler, precision, device)


def load_vae(folder: Path, device: torch.device) -> AutoencoderKL:
    """Loads an autoencoder in float32, without gradients.

    Args:
        folder: In the format of diffusers.
        device: Where to.

    Returns:
        In evaluation mode.

    Raises:
        MissingModelError: There is none.
    """
    check_saved(folder, f"{folder}: no autoencoder there; train it first (`dvc repro` in tabletop/)")
    vae = AutoencoderKL.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    return vae.float().to(device, memory_format=torch.channels_last).eval().requires_grad_(False)


def saved_classes(folder: Path) -> list[str]:
    """Returns the names of the classes that a saved model generates; none for one without condition."""
    file = folder / "classes.json"
    return list(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else []


def _saved_condition(folder: Path, device: torch.device) -> Condition:
    classes = saved_classes(folder)
    return ClassCondition(classes, 0.0, device) if classes else NoCondition()


def _noise(shape: tuple[int, ...], seed: int, rows: Tensor) -> Tensor:
    generators = [torch.Generator().manual_seed(derive_seed(seed, "sample", row)) for row in rows.tolist()]
    return torch.stack([torch.randn(shape, generator=generator) for generator in generators])
