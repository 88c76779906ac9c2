import numpy as np
import torch
from diffusers.image_processor import VaeImageProcessor

from src.models.pixels import as_image, to_bytes, to_pixels


def test_bytes_are_those_of_diffusers_also_where_they_round():
    ties = (torch.arange(256, dtype=torch.float64)[:, None] - 0.5) / 127.5 - 1
    around = (ties + torch.linspace(-1e-6, 1e-6, 255, dtype=torch.float64)).float().view(1, 1, 256, 255)
    pixels = torch.cat([around, around * 1.01, around.flip(-1)], dim=1)
    image = as_image(to_bytes(pixels[0]))
    [reference] = VaeImageProcessor().postprocess(pixels, output_type="pil")
    assert np.array_equal(np.asarray(image), np.asarray(reference))


def test_an_image_comes_back_from_its_pixels():
    values = torch.arange(3 * 16 * 16, dtype=torch.int64).remainder(256).to(torch.uint8).view(3, 16, 16)
    pixels = to_pixels(as_image(values))
    assert pixels.shape == (1, 3, 16, 16)
    assert torch.equal(to_bytes(pixels)[0], values)
