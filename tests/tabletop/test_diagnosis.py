import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import avg_pool2d

from src.tabletop.diagnosis import Generated, Restored, diagnose_autoencoder, sharpness, tables
from tests.pretraining.conftest import CPU, image_set

SIDE = 64


def test_sharpness_is_the_variance_of_the_laplacian():
    stripes = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    stripes[..., ::2] = 100
    # grey stripes of one pixel: the Laplacian is -200 and 200, half each, over 6 x 6 cells
    assert float(sharpness(stripes)) == pytest.approx(200**2 * 36 / 35, rel=1e-4)
    noise = torch.randint(256, (3, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    blurred = avg_pool2d(noise.float(), 3, 1, 1).round().to(torch.uint8)
    assert bool((sharpness(blurred) < 0.2 * sharpness(noise)).all())


class Mean:
    """Stands for a metric model: features are mean colours."""

    def prepare(self, image):
        return torch.tensor(list(image.getdata()), dtype=torch.float32).mean(0)

    def embed_images(self, batch):
        return batch


class Blur:
    """Stands for an autoencoder that averages squares of three pixels, or restores what it gets."""

    def __init__(self, side):
        self.side = side

    def encode(self, images):
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=avg_pool2d(images, self.side, 1, self.side // 2)))

    def decode(self, latents):
        return SimpleNamespace(sample=latents)


def test_an_autoencoder_that_blurs_is_found_out():
    images = image_set(8, 0, SIDE, classes=["toy"])
    far = torch.nn.Module()
    far.forward = lambda a, b: (a - b).square().mean((1, 2, 3), keepdim=True)
    exact, blurred = (diagnose_autoencoder(Blur(side), images, far, Mean(), CPU) for side in (1, 3))
    assert (exact.psnr_db, exact.lpips, exact.sharpness) == (float("inf"), 0, 1)
    assert exact.likeness == pytest.approx(1)
    # noise of 100 levels: the mean of nine keeps a ninth of its variance, so 8/9 of 100^2 / 12 is lost
    assert blurred.psnr_db == pytest.approx(10 * math.log10(255**2 / (8 / 9 * 100**2 / 12)), abs=0.7)
    assert blurred.lpips == pytest.approx(8 / 9 * 100**2 / 12 / 127.5**2, rel=0.15)
    assert blurred.sharpness < 0.1
    several = diagnose_autoencoder(Blur(1), image_set(8, 0, SIDE), far, Mean(), CPU)
    assert several.likeness is None, "other toys are not to be alike"


def test_tables_hold_every_number():
    right = {"name": 0.9, "colour": 1.0, "background": 0.95, "all": 0.85}
    text = tables(
        {("shipped", "world"): Restored(27.91, 0.0172, 0.123, None), ("new", "toy"): Restored(30, 0, 1, 0.5)},
        [Generated(5, 3.0, right, 0.101, None), Generated(20, 4.0, right, 0.119, 61.24)],
    )
    assert "| shipped | world | 27.9 | 0.017 | 12% |  |" in text
    assert "| new | toy | 30.0 | 0.000 | 100% | 0.50 |" in text
    assert "| 5 | 3 | 90% | 100% | 95% | 10% | too few |" in text
    assert "| 20 | 4 | 90% | 100% | 95% | 12% | 61.2 |" in text
