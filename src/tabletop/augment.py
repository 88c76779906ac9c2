"""Small changes that leave a picture's toy, colour and background the same."""

import torch
from torch import Tensor
from torch.nn import functional


def augmented(images: Tensor) -> Tensor:
    """Mirrors, shifts, zooms, blurs and dims images; draws from torch's global stream.

    Blur and noise make what learns from renders fit for pictures that a diffusion model generates.

    Args:
        images: (B, 3, S, S), float32 in [-1, 1].

    Returns:
        Changed images, (B, 3, S, S), float32 in about [-1, 1].
    """
    count = len(images)
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    zoom = 0.75 + 0.35 * torch.rand(count)
    shift = (torch.rand(count, 2) - 0.5) * 0.3
    frames = torch.zeros(count, 2, 3)
    frames[:, 0, 0], frames[:, 1, 1], frames[:, :, 2] = mirror * zoom, zoom, shift
    grid = functional.affine_grid(frames.to(images.device), list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    soft = functional.interpolate(functional.avg_pool2d(moved, 2), scale_factor=2, mode="bilinear", align_corners=False)
    strength = (torch.rand(count, 1, 1, 1) - 0.4).clamp(min=0).to(images.device)
    light = (0.88 + 0.24 * torch.rand(count, 1, 1, 1)).to(images.device)
    noise = 0.06 * torch.rand(count, 1, 1, 1).to(images.device) * torch.randn_like(moved)
    return ((moved + (soft - moved) * strength + 1) * light - 1 + noise).contiguous(memory_format=torch.channels_last)
