"""Trains an AutoencoderKL: the latent space that the diffusion model of the embedded world works in."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from src.scratch.engine import Given
from src.scratch.images import Draws, ImageSet, flipped, to_bytes, to_unit

# held-out images that an evaluation looks at
EVALUATED = 256
SHOWN = 8


class AutoencoderTask:
    """Reconstruction (L1 and L2) with a small Kullback-Leibler term; no adversary, no perceptual loss.

    Paper: High-Resolution Image Synthesis with Latent Diffusion Models (Rombach et al., 2021), arXiv:2112.10752,
    appendix G, without its discriminator: at 64 px its texture is not missed.

    Args:
        given: What every task is given.
        model: Arguments of AutoencoderKL.
        kl_weight: Of the Kullback-Leibler term, which keeps the latents near a normal distribution.
        whole_from: Share of the training after which whole images are shown instead of quarters: quarters show more
            different images for the same work.
    """

    def __init__(
        self,
        given: Given,
        model: dict[str, Any],
        kl_weight: float,
        whole_from: float,
    ) -> None:
        train_set, val_set, plan, seed, device = given
        torch.manual_seed(seed)
        self.averaged: tuple[str, ...] = ("vae",)
        self.vae = AutoencoderKL(**model).to(device, memory_format=torch.channels_last)
        self.networks: dict[str, nn.Module] = {"vae": self.vae}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "adam": torch.optim.AdamW(self.vae.parameters(), plan.lr, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
        }
        self.train_set, self.val_set, self.plan, self.device = train_set, val_set, plan, device
        self.kl_weight, self.whole_from = kl_weight, whole_from
        self.draws = {parts: Draws(len(train_set), plan.batch_size * parts, seed) for parts in (1, 4)}

    def update(self, step: int) -> dict[str, Tensor]:
        """Does one update; see Task."""
        parts = 4 if step < self.whole_from * self.plan.steps else 1
        pixels = flipped(self.train_set.pixels[self.draws[parts].at(step)])
        if parts == 4:
            pixels = _quarters(pixels)
        images = to_unit(pixels, self.device)
        with self.plan.autocast(self.device):
            moments = self.vae.encode(images).latent_dist
            mean, spread = moments.mean.float(), moments.logvar.float()
            decoded = self.vae.decode(mean + torch.exp(0.5 * spread) * torch.randn_like(mean)).sample.float()
        error = decoded - images
        kl = 0.5 * (mean.square() + spread.exp() - 1 - spread).mean()
        reconstruction = error.abs().mean() + error.square().mean()
        loss = reconstruction + self.kl_weight * kl
        self.plan.descend(self.optimizers["adam"], loss)
        return {"loss": loss.detach(), "kl": kl.detach()}

    def evaluate(self) -> dict[str, float]:
        """Returns ``psnr``, dB, the mean over held-out images (values of 8 bits, the latent's mean decoded)."""
        return {"psnr": float(psnr(self.vae, self.val_set.pixels[:EVALUATED], self.device).mean())}

    @torch.no_grad()
    def samples(self) -> dict[str, Tensor]:
        """Returns held-out images and what is restored of them."""
        pixels = self.val_set.pixels[:SHOWN]
        decoded = self.vae.decode(self.vae.encode(to_unit(pixels, self.device)).latent_dist.mean).sample
        return {"held out": pixels, "restored": to_bytes(decoded)}

    def save(self, folder: Path) -> None:
        """Writes the autoencoder in the format of diffusers; its scaling factor gives latents a deviation of 1."""
        self.vae.register_to_config(scaling_factor=round(1 / latent_deviation(self.vae, self.val_set, self.device), 5))
        self.vae.save_pretrained(folder)


def _quarters(pixels: Tensor) -> Tensor:
    side = pixels.shape[-1] // 2
    corners = torch.randint(side + 1, (len(pixels), 2)).tolist()
    return torch.stack([image[:, y : y + side, x : x + side] for image, (y, x) in zip(pixels, corners, strict=True)])


@torch.no_grad()
def psnr(vae: AutoencoderKL, pixels: Tensor, device: torch.device) -> Tensor:
    """Measures reconstructions.

    Args:
        vae: The autoencoder.
        pixels: (N, 3, S, S), uint8.
        device: Where the autoencoder is.

    Returns:
        Peak signal-to-noise ratio of each image, dB, (N,).
    """
    values = []
    for part in pixels.split(64):
        decoded = vae.decode(vae.encode(to_unit(part, device)).latent_dist.mean).sample
        values.append((to_bytes(decoded).float() - part.float()).square().flatten(1).mean(1))
    return 10 * torch.log10(255**2 / torch.cat(values))


@torch.no_grad()
def latent_deviation(vae: AutoencoderKL, images: ImageSet, device: torch.device) -> float:
    """Returns the standard deviation of latent means over EVALUATED images."""
    parts = [vae.encode(to_unit(part, device)).latent_dist.mean for part in images.pixels[:EVALUATED].split(64)]
    return float(torch.cat(parts).float().std())
