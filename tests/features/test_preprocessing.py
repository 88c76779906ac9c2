"""The preparation equals PIL's own resize, which antialiases, and the reference pipeline of DINO's evaluation."""

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import functional

from src.core.files import sha256_bytes
from src.features.preprocessing import IMAGENET, MINUS_ONE_TO_ONE, Preparation
from tests.metrics.synthetic import pictures


def reference(image, resize_px, crop_px, mean, std):
    short = min(image.size)
    size = (int(resize_px * image.width / short), int(resize_px * image.height / short))
    resized = np.asarray(image.resize(size, Image.Resampling.BICUBIC), np.float32) / 255
    top, left = (round((side - crop_px) / 2) for side in resized.shape[:2])
    cropped = resized[top : top + crop_px, left : left + crop_px]
    return torch.from_numpy((cropped - np.float32(mean)) / np.float32(std)).permute(2, 0, 1)


def test_preparation_equals_pil_and_numpy():
    for picture in pictures().values():
        for sizes in ((32, 28), (256, 224), (64, 64)):
            ours = Preparation(*sizes, IMAGENET)(picture)
            assert ours.shape == (3, sizes[1], sizes[1])
            assert (ours - reference(picture, *sizes, *IMAGENET)).abs().max() < 1e-5


def test_preparation_never_changes():
    """Hashes of the pixels, made with Pillow 13.0 on x86-64; another resize would give other scores."""
    mean, std = (np.float32(values)[:, None, None] for values in IMAGENET)
    found = {}
    for name in ("gradient", "checker", "wide"):
        pixels = Preparation(256, 224, IMAGENET)(pictures()[name]).numpy() * std + mean
        found[name] = sha256_bytes(np.rint(pixels * 255).astype(np.uint8).tobytes())[:16]
    assert found == {"gradient": "651ac461d9007307", "checker": "9735222a8f30933c", "wide": "0d63e50da7173501"}


def test_preparation_antialiases_unlike_a_tensor_resize():
    checker = pictures()["checker"]
    ours = Preparation(24, 24, MINUS_ONE_TO_ONE)(checker)
    plain = (
        functional.resize(functional.to_tensor(checker), 24, functional.InterpolationMode.BICUBIC, antialias=False) * 2
        - 1
    )
    assert ours.std() < 0.1  # the checks average to grey
    assert plain.std() > 0.3  # or alias
    assert (ours - plain).abs().max() > 0.3


def test_preparation_describes_itself():
    assert "256 px, PIL bicubic, antialiased; centre crop 224" in Preparation(256, 224, IMAGENET).description
