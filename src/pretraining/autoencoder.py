"""Trains an AutoencoderKL: the latent space that the diffusion model of the embedded world works in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from src.core.errors import ConfigError
from src.core.seeding import derive_seed
from src.models.pixels import to_bytes
from src.pretraining.engine import Given
from src.pretraining.images import Draws, ImageSet, flipped, to_unit
from src.pretraining.reconstruction import PatchDiscriminator, hinge, joined, load_perceptual, recoloured
from src.pretraining.sources import Source
from src.pretraining.start import load_narrower

# held-out images that an evaluation looks at, and that give the latents' deviation
EVALUATED = 256
SHOWN = 8


@dataclass(frozen=True)
class Terms:
    """What the loss is made of, besides L1 and L2.

    Attributes:
        kl: Weight of the Kullback-Leibler term, which keeps the latents near a normal distribution.
        perceptual: Weight of LPIPS; 0 needs no backbone.
        adversary: Size of the discriminator's gradient at the picture, as a share of the others'; 0 trains none.
        adversary_from: Share of the training after which the discriminator joins.
        adversary_width: Channels of its first level.

    Raises:
        ConfigError: A weight is negative.
    """

    kl: float
    perceptual: float
    adversary: float
    adversary_from: float
    adversary_width: int

    def __post_init__(self) -> None:
        for name in ("kl", "perceptual", "adversary"):
            if getattr(self, name) < 0:
                raise ConfigError(f"task.terms.{name}={getattr(self, name)}: expected 0 or more")


class AutoencoderTask:
    """Reconstruction (L1 and L2), a small Kullback-Leibler term, LPIPS, and towards the end a discriminator of patches.

    Paper: High-Resolution Image Synthesis with Latent Diffusion Models (Rombach et al., 2021), arXiv:2112.10752,
    appendix G.

    Attributes:
        looks_ahead: See Task.

    Args:
        given: What every task is given.
        model: Arguments of AutoencoderKL.
        terms: Weights of the loss; see Terms.
        backbone: A folder with the AlexNet that LPIPS compares by; None where LPIPS has no weight.
        recolour: Share of the images that are shown in other colours.
        whole_from: Share of the training after which whole images are shown instead of quarters: quarters show more
            different images for the same work.
        start: A saved autoencoder to begin with, or a pipeline that has one; it may have fewer channels. None starts
            from noise.
        trained: ``all``, or ``decoder``: pictures get sharper, and a diffusion model that learnt these latents stays.
        watched: More sets that are measured and never learnt from, by name.

    Raises:
        ConfigError: LPIPS has a weight and no backbone, or a decoder is to be trained alone and there is no start.
        MissingModelError: The backbone or the model to start from is not there.
        ModelMismatchError: The model to start from has other widths.
    """

    # whole images and the adversary come after shares of the training
    looks_ahead = True

    def __init__(
        self,
        given: Given,
        model: dict[str, Any],
        terms: dict[str, Any],
        backbone: str | None,
        recolour: float,
        whole_from: float,
        start: str | None,
        trained: str,
        watched: dict[str, Source],
    ) -> None:
        train_set, val_set, plan, seed, device = given
        self.terms = Terms(**terms)
        torch.manual_seed(seed)
        self.vae = AutoencoderKL(**model)
        if start is not None:
            pipeline = Path(start) / "vae"
            load_narrower(pipeline if pipeline.is_dir() else Path(start), self.vae, same=trained == "decoder")
        self.latents_stay = _freeze_latents(self.vae, trained, start)
        self.vae.to(device, memory_format=torch.channels_last)
        self.averaged: tuple[str, ...] = ("vae",)
        self.networks: dict[str, nn.Module] = {"vae": self.vae}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "adam": torch.optim.AdamW(
                [weight for weight in self.vae.parameters() if weight.requires_grad],
                plan.lr,
                betas=(0.9, 0.99),
                weight_decay=0.0,
                fused=True,
            )
        }
        if self.terms.adversary:
            torch.manual_seed(derive_seed(seed, "adversary"))
            discriminator = PatchDiscriminator(self.terms.adversary_width).to(device)
            discriminator.to(memory_format=torch.channels_last)
            self.networks["discriminator"] = discriminator
            self.optimizers["discriminator"] = torch.optim.AdamW(
                discriminator.parameters(), plan.lr, betas=(0.5, 0.9), fused=True
            )
        if self.terms.perceptual and backbone is None:
            raise ConfigError(f"task.terms.perceptual={self.terms.perceptual}: task.backbone is needed for it")
        self.perceptual = load_perceptual(str(backbone), device) if self.terms.perceptual else None
        self.train_set, self.val_set, self.plan, self.device = train_set, val_set, plan, device
        self.recolour, self.whole_from = recolour, whole_from
        self.watched = {name: source.load() for name, source in watched.items()}
        self.draws = {parts: Draws(len(train_set), plan.batch_size * parts, seed) for parts in (1, 4)}

    def update(self, step: int) -> dict[str, Tensor]:
        """Does one update; see Task."""
        images = self._images(step)
        with self.plan.autocast(self.device):
            moments = self.vae.encode(images).latent_dist
            mean, spread = moments.mean.float(), moments.logvar.float()
            decoded = self.vae.decode(mean + torch.exp(0.5 * spread) * torch.randn_like(mean)).sample.float()
        kl = 0.5 * (mean.square() + spread.exp() - 1 - spread).mean()
        # cut here: losses of the picture go back to it one by one, and once through the decoder
        picture = decoded.detach().requires_grad_()
        error = picture - images
        loss = error.abs().mean() + error.square().mean()
        values = {"kl": kl.detach(), "l1": error.abs().mean().detach()}
        if self.perceptual is not None:
            with self.plan.autocast(self.device):
                values["lpips"] = self.perceptual(picture, images).float().mean()
            loss = loss + self.terms.perceptual * values["lpips"]
        (gradient,) = torch.autograd.grad(loss, picture)
        if self.terms.adversary:
            gradient, values["discriminator"] = self._discriminate(step, picture, images, gradient)
        values["loss"] = (loss + self.terms.kl * kl).detach()
        self.plan.descend(self.optimizers["adam"], (decoded * gradient).sum() + self.terms.kl * kl)
        return {name: value.detach() for name, value in values.items()}

    def _images(self, step: int) -> Tensor:
        parts = 4 if step < self.whole_from * self.plan.steps else 1
        pixels = flipped(self.train_set.pixels[self.draws[parts].at(step)])
        if parts == 4:
            pixels = _quarters(pixels)
        return recoloured(to_unit(pixels, self.device), self.recolour)

    def _discriminate(self, step: int, picture: Tensor, images: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Trains the discriminator, and adds its gradient to the picture's."""
        if step < self.terms.adversary_from * self.plan.steps:
            return gradient, torch.zeros((), device=self.device)
        discriminator = self.networks["discriminator"]
        with self.plan.autocast(self.device):
            found = hinge(discriminator(images).float(), discriminator(picture.detach()).float())
        self.plan.descend(self.optimizers["discriminator"], found)
        with self.plan.autocast(self.device):
            (wish,) = torch.autograd.grad(-discriminator(picture).float().mean(), picture)
        return joined(gradient, wish, self.terms.adversary), found

    def evaluate(self) -> dict[str, float]:
        """Returns ``psnr``, dB, the mean over held-out images (values of 8 bits, the latent's mean decoded).

        And ``psnr_<name>`` for each watched set.
        """
        sets = {"psnr": self.val_set, **{f"psnr_{name}": images for name, images in self.watched.items()}}
        return {
            name: float(psnr(self.vae, images.pixels[:EVALUATED], self.device).mean()) for name, images in sets.items()
        }

    @torch.no_grad()
    def samples(self) -> dict[str, Tensor]:
        """Returns images that were not learnt from, and what is restored of them."""
        shown: dict[str, Tensor] = {}
        for name, images in {"held out": self.val_set, **self.watched}.items():
            pixels = images.pixels[:SHOWN]
            decoded = self.vae.decode(self.vae.encode(to_unit(pixels, self.device)).latent_dist.mean).sample
            shown |= {name: pixels, f"{name}, restored": to_bytes(decoded)}
        return shown

    def save(self, folder: Path) -> None:
        """Writes the autoencoder in the format of diffusers; its scaling factor gives latents a deviation of 1."""
        if not self.latents_stay:
            deviation = latent_deviation(self.vae, self.val_set, self.device)
            self.vae.register_to_config(scaling_factor=round(1 / deviation, 5))
        self.vae.save_pretrained(folder)


def _freeze_latents(vae: AutoencoderKL, trained: str, start: str | None) -> bool:
    """Freezes what makes latents, where the decoder alone is trained, and returns whether it is."""
    if trained not in ("all", "decoder"):
        raise ConfigError(f"task.trained={trained}: expected all or decoder")
    alone = trained == "decoder"
    if alone and start is None:
        raise ConfigError("task.trained=decoder: task.start is needed for it, the autoencoder whose latents stay")
    for part in (vae.encoder, vae.quant_conv):
        if part is not None:
            part.requires_grad_(not alone)
    return alone


def _quarters(pixels: Tensor) -> Tensor:
    side = pixels.shape[-1] // 2
    corners = torch.randint(side + 1, (len(pixels), 2)).tolist()
    return torch.stack([image[:, y : y + side, x : x + side] for image, (y, x) in zip(pixels, corners, strict=True)])


@torch.no_grad()
def restore(vae: AutoencoderKL, pixels: Tensor, device: torch.device) -> Tensor:
    """Encodes images and decodes the latents' means.

    Args:
        vae: The autoencoder.
        pixels: (N, 3, S, S), uint8.
        device: Where the autoencoder is.

    Returns:
        (N, 3, S, S), uint8.
    """
    parts = [vae.decode(vae.encode(to_unit(part, device)).latent_dist.mean).sample for part in pixels.split(64)]
    return torch.cat([to_bytes(part) for part in parts])


def psnr(vae: AutoencoderKL, pixels: Tensor, device: torch.device) -> Tensor:
    """Measures reconstructions.

    Args:
        vae: The autoencoder.
        pixels: (N, 3, S, S), uint8.
        device: Where the autoencoder is.

    Returns:
        Peak signal-to-noise ratio of each image, dB, (N,).
    """
    error = (restore(vae, pixels, device).float() - pixels.float()).square().flatten(1).mean(1)
    return 10 * torch.log10(255**2 / error)


@torch.no_grad()
def latent_deviation(vae: AutoencoderKL, images: ImageSet, device: torch.device) -> float:
    """Returns the standard deviation of latent means over EVALUATED images."""
    parts = [vae.encode(to_unit(part, device)).latent_dist.mean for part in images.pixels[:EVALUATED].split(64)]
    return float(torch.cat(parts).float().std())
