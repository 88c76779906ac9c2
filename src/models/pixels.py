"""Between images and what networks take and give: values in [-1, 1]."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_pixels(image: Image.Image) -> Tensor:
    """Turns an RGB image into a tensor, (1, 3, H, W), float32 in [-1, 1]."""
    array = np.asarray(image.convert("RGB"), dtype=np.float32)
    return torch.from_numpy(array).permute(2, 0, 1)[None] / 127.5 - 1


def to_bytes(pixels: Tensor) -> Tensor:
    """Turns values in [-1, 1] into bytes on the CPU, uint8, of the same shape; what lies outside is cut off."""
    return ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu()


def as_image(values: Tensor) -> Image.Image:
    """Turns bytes (3, H, W), uint8 on the CPU, into an RGB image."""
    return Image.fromarray(values.permute(1, 2, 0).numpy())
