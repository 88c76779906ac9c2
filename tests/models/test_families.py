import json

import pytest

from src.core.errors import ConfigError, ModelMismatchError
from src.models.families import check_resolution


@pytest.fixture
def model(tmp_path):
    """Four levels of the autoencoder and three of the UNet: 8 times 4."""
    for part, levels in (("vae", 4), ("unet", 3)):
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text(json.dumps({"block_out_channels": [32] * levels}))
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    return tmp_path


def test_sides_are_multiples_of_what_autoencoder_and_unet_divide_by(model):
    check_resolution(model, 96)
    with pytest.raises(
        ConfigError, match=r"model\.resolution=104: expected a multiple of 32, for example 96 or 128: the"
    ):
        check_resolution(model, 104)
    with pytest.raises(ConfigError, match="resolution=8: expected a multiple of 32, for example 32 or 64"):
        check_resolution(model, 8)


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_a_model_that_does_not_say_is_named(model, text):
    (model / "unet/config.json").write_text(text)
    with pytest.raises(ModelMismatchError, match=r"unet/config\.json: expected JSON with block_out_channels"):
        check_resolution(model, 96)


def test_a_transformer_divides_by_its_patches(tiny_models):
    for kind in ("sd3", "flux"):
        check_resolution(tiny_models / kind, 48)
        with pytest.raises(ConfigError, match=r"multiple of 16, .*the autoencoder of .* by 8, its transformer by 2"):
            check_resolution(tiny_models / kind, 40)
