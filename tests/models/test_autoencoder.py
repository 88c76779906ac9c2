"""Photos through the base model's autoencoder: its deterministic path, as files."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image

from src.core.errors import MissingModelError
from src.models.autoencoder import reconstruct


def test_photos_are_what_mean_and_decoder_make_of_them(tmp_path):
    torch.manual_seed(0)
    vae = AutoencoderKL(block_out_channels=(32,), sample_size=16).eval()
    vae.save_pretrained(tmp_path / "model/vae")
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    (tmp_path / "out").mkdir()
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    (file,) = reconstruct(str(tmp_path / "model"), None, None, None, "cpu", [tmp_path / "photo.png"], tmp_path / "out")
    with torch.no_grad():
        batch = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
        wanted = vae(batch, sample_posterior=False).sample[0].permute(1, 2, 0)
    shown = np.asarray(Image.open(file)).astype(float)
    assert np.abs(shown - ((wanted.numpy() / 2 + 0.5).clip(0, 1) * 255)).max() <= 0.51
    (tmp_path / "model/vae/config.json").unlink()
    with pytest.raises(MissingModelError, match="no autoencoder"):
        reconstruct(str(tmp_path / "model"), None, None, None, "cpu", [], tmp_path)
